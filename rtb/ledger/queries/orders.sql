-- name: place
SELECT set_config('rtb.answer', rtb_place(
    %(key)s::text, %(fingerprint)s::text, %(account)s::text, %(closed)s::boolean, %(name)s::text,
    %(workload)s::text, %(priority)s::integer, %(labels)s::jsonb, %(not_before)s::timestamptz,
    %(max_failures)s::integer, %(time_limit)s::float8, %(names)s::text[], %(payloads)s::text[]),
    true);

-- name: seed
-- The first start's backlog, once per ledger; runs only the built-in coin flip.
WITH mark AS (
    UPDATE gate SET seeded_at = now()
     WHERE seeded_at IS NULL RETURNING NOT EXISTS (SELECT FROM orders) AND %(count)s > 0 AS empty
), account AS (
    INSERT INTO accounts (name) SELECT 'default' FROM mark WHERE empty
    ON CONFLICT (name) DO UPDATE SET name = EXCLUDED.name
    RETURNING id
), placed AS (
    INSERT INTO orders (account_id, name, workload)
    SELECT id, 'backlog', 'coinflip' FROM account
    RETURNING id
)
INSERT INTO units (order_id, name)
SELECT placed.id, format('unit-%%s', lpad(i::text, length(%(count)s::text), '0'))
  FROM placed, generate_series(1, %(count)s) i
 ORDER BY i;

-- name: set_going
UPDATE gate SET going = %(going)s WHERE one RETURNING going;

-- name: order_page
SELECT o.id, a.name, o.name, o.workload, o.priority, o.created_at, o.finished_at, o.labels,
       o.state, o.not_before, o.held_at, o.held_why, o.max_failures, o.time_limit, p.began_at,
       rtb_rate(c.pace, c.paced_at, c.begun_at),
       (SELECT json_agg(json_build_object('verb', e.verb, 'followed', e.followed) ORDER BY e.id)
          FROM errands e WHERE e.order_id = o.id),
       c.waiting, c.sent, c.queued, c.processing, c.success, c.error, c.cancelled
  FROM orders o
  JOIN accounts a ON a.id = o.account_id
  JOIN counters c ON c.kind = 'order' AND c.id = o.id
  LEFT JOIN pruned p ON p.order_id = o.id
 WHERE o.id < %(before)s AND (o.state = 'loading') = %(loading)s AND o.state <> 'discarded'
   AND o.labels @> %(labels)s::jsonb
   AND (%(account)s::text IS NULL OR a.name = %(account)s)
 ORDER BY o.id DESC
 LIMIT %(limit)s;

-- name: order
SELECT o.id, a.name, o.name, o.workload, o.priority, o.created_at, o.finished_at, o.labels,
       o.state, o.not_before, o.held_at, o.held_why, o.max_failures, o.time_limit, p.began_at,
       rtb_rate(c.pace, c.paced_at, c.begun_at),
       (SELECT json_agg(json_build_object('verb', e.verb, 'followed', e.followed) ORDER BY e.id)
          FROM errands e WHERE e.order_id = o.id),
       c.waiting, c.sent, c.queued, c.processing, c.success, c.error, c.cancelled
  FROM orders o
  JOIN accounts a ON a.id = o.account_id
  LEFT JOIN counters c ON c.kind = 'order' AND c.id = o.id
  LEFT JOIN pruned p ON p.order_id = o.id
 WHERE o.id = %(order)s AND o.state <> 'discarded';

-- name: order_exists
SELECT state = 'pruned' FROM orders
 WHERE id = %(order)s AND state IN ('open', 'cancelling', 'pruned');

-- name: unit_page
SELECT u.id, u.order_id, u.name, u.status, u.attempt, u.round, u.failures, u.losses,
       u.not_before, u.held_at, u.result::text, u.error, u.held_why, u.priority
  FROM units u
 WHERE u.order_id = %(order)s AND u.id > %(after)s
   AND EXISTS (SELECT FROM orders WHERE id = %(order)s AND state IN ('open', 'cancelling'))
   AND (%(status)s IS NULL OR u.status = %(status)s::unit_status)
 ORDER BY u.id
 LIMIT %(limit)s;

-- name: unit
SELECT u.id, u.order_id, u.name, u.status, u.attempt, u.round, u.failures, u.losses,
       u.not_before, u.held_at, u.result::text, u.error, u.held_why, u.priority,
       u.payload::text, b.name, f.holder
  FROM units u
  LEFT JOIN flights f ON f.unit_id = u.id
  LEFT JOIN boxes b ON b.id = f.box_id
  JOIN orders o ON o.id = u.order_id AND o.state IN ('open', 'cancelling')
 WHERE u.id = %(unit)s;

-- name: history
SELECT e.at, e.round, e.attempt, e.kind, e.who, e.ran, e.detail::text, c.container, c.log
  FROM history e
  LEFT JOIN containers c
    ON e.kind = 'processing' AND c.incarnation = substring(e.who FROM '[^/]*$')
 WHERE e.unit_id = %(unit)s ORDER BY e.id;

-- name: deeds_of_unit
-- What people did to a unit without moving it: with its whole order, or by a filter.
SELECT d.at, d.verb, true, d.why, d.priority
  FROM units u JOIN deeds d ON d.order_id = u.order_id
 WHERE u.id = %(unit)s AND d.whole AND d.verb IN ('hold', 'release', 'priority')
UNION ALL
SELECT n.at, d.verb, false, d.why, d.priority
  FROM deeds_of_units n JOIN deeds d ON d.id = n.deed_id
 WHERE n.unit_id = %(unit)s
 ORDER BY 1;

-- name: deeds
-- What people did to an order or to units of it, the newest first.
SELECT at, verb, whole, statuses::text[], prefix, why, priority, units
  FROM deeds WHERE order_id = %(order)s ORDER BY id DESC LIMIT %(limit)s;

-- name: summary
SELECT g.going, c.waiting, c.sent, c.queued, c.processing, c.success, c.error, c.cancelled
  FROM gate g JOIN counters c ON c.kind = 'total' AND c.id = 0;

-- name: leaders
SELECT b.name, b.leader, s.active, b.capacity,
       coalesce(c.queued, 0), coalesce(c.sent, 0), b.utilization, b.slots, b.busy, b.workloads,
       (SELECT count(*) FROM agents a WHERE a.box_id = b.id AND a.presence <> 'gone'),
       b.reported_at, b.launcher::text,
       (SELECT json_agg(json_build_object(
                   'agent', a.incarnation, 'name', a.name, 'host', a.host,
                   'presence', a.presence, 'slots', a.slots, 'busy', a.busy,
                   'container', a.container, 'log', a.log) ORDER BY a.name)
          FROM (SELECT * FROM agents a WHERE a.box_id = b.id AND a.container <> ''
                 ORDER BY a.name LIMIT 100) a)::text
  FROM boxes b
  JOIN box_states s USING (id)
  LEFT JOIN counters c ON c.kind = 'box' AND c.id = b.id
 ORDER BY b.name;

-- name: next
-- Who is first in line: the pick of the claim, for all workloads and without claiming.
SELECT u.id, u.name, u.order_id, a.name, o.workload, u.attempt, p.rank
  FROM rtb_pick(%(limit)s, ARRAY(SELECT DISTINCT workload FROM shares WHERE ready > 0)) p
  JOIN units u ON u.id = p.unit_id
  JOIN orders o ON o.id = p.order_id
  JOIN accounts a ON a.id = p.account_id
 ORDER BY p.rank;
