-- name: place
WITH account AS (
    INSERT INTO accounts (name) VALUES (%(account)s)
    ON CONFLICT (name) DO UPDATE SET name = EXCLUDED.name
    RETURNING id
), placed AS (
    INSERT INTO orders (account_id, name, workload, priority)
    SELECT id, %(name)s, %(workload)s, %(priority)s FROM account
    RETURNING id
), filled AS (
    INSERT INTO units (order_id, name, payload)
    SELECT placed.id, n.name, n.payload::json
      FROM placed, unnest(%(names)s::text[], %(payloads)s::text[])
           WITH ORDINALITY AS n (name, payload, i)
     ORDER BY n.i
)
SELECT placed.id, g.going FROM placed, gate g;

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
SELECT o.id, a.name, o.name, o.workload, o.priority, o.created_at, o.finished_at,
       c.waiting, c.sent, c.queued, c.processing, c.success, c.error, c.cancelled
  FROM orders o
  JOIN accounts a ON a.id = o.account_id
  JOIN counters c ON c.kind = 'order' AND c.id = o.id
 WHERE o.id < %(before)s
 ORDER BY o.id DESC
 LIMIT %(limit)s;

-- name: order
SELECT o.id, a.name, o.name, o.workload, o.priority, o.created_at, o.finished_at,
       c.waiting, c.sent, c.queued, c.processing, c.success, c.error, c.cancelled
  FROM orders o
  JOIN accounts a ON a.id = o.account_id
  JOIN counters c ON c.kind = 'order' AND c.id = o.id
 WHERE o.id = %(order)s;

-- name: order_exists
SELECT FROM orders WHERE id = %(order)s;

-- name: unit_page
SELECT u.id, u.order_id, u.name, u.status, u.attempt, u.round, u.failures, u.losses,
       u.not_before, u.held_at, u.result::text, u.error
  FROM units u
 WHERE u.order_id = %(order)s AND u.id > %(after)s
   AND (%(status)s IS NULL OR u.status = %(status)s::unit_status)
 ORDER BY u.id
 LIMIT %(limit)s;

-- name: unit
SELECT u.id, u.order_id, u.name, u.status, u.attempt, u.round, u.failures, u.losses,
       u.not_before, u.held_at, u.result::text, u.error, u.payload::text, b.name, f.holder
  FROM units u
  LEFT JOIN flights f ON f.unit_id = u.id
  LEFT JOIN boxes b ON b.id = f.box_id
 WHERE u.id = %(unit)s;

-- name: history
SELECT at, round, attempt, kind, who, ran, detail::text
  FROM events WHERE unit_id = %(unit)s ORDER BY id;

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
WITH heads AS MATERIALIZED (
    SELECT account_id, flying, weight, served, sum(ready)::bigint AS ready
      FROM shares WHERE ready > 0
     GROUP BY account_id, flying, weight, served
     ORDER BY (flying + 1) / weight, served, account_id
     LIMIT %(limit)s
), places AS MATERIALIZED (
    SELECT h.account_id, i, row_number() OVER (
               ORDER BY (h.flying + i) / h.weight, h.served, h.account_id) AS rank
      FROM heads h, generate_series(1, least(h.ready, %(limit)s)) i
     ORDER BY rank
     LIMIT %(limit)s
)
SELECT u.id, u.name, u.order_id, a.name, u.workload, u.attempt
  FROM (SELECT account_id, count(*) AS n FROM places GROUP BY account_id) q
  JOIN accounts a ON a.id = q.account_id
 CROSS JOIN LATERAL (
      SELECT r.id, r.name, r.attempt, o.id AS order_id, o.workload,
             row_number() OVER (ORDER BY o.priority DESC, o.id, r.id) AS i
        FROM orders o, LATERAL (
            SELECT id, name, attempt FROM units
             WHERE line = o.id ORDER BY id LIMIT q.n) r
       WHERE o.account_id = q.account_id AND o.finished_at IS NULL
       ORDER BY o.priority DESC, o.id, r.id
       LIMIT q.n) u
  JOIN places p ON p.account_id = q.account_id AND p.i = u.i
 ORDER BY p.rank;
