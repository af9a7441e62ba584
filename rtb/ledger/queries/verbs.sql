-- name: order_for_verb
-- What a verb has to know of an order.
SELECT o.state, c.waiting, c.sent, c.queued, c.processing, c.success, c.error, c.cancelled,
       o.account_id
  FROM orders o LEFT JOIN counters c ON c.kind = 'order' AND c.id = o.id
 WHERE o.id = %(order)s;

-- name: cancel_order
-- From here on none of its units is picked; those that have not settled follow. Errands come before
-- counters, as they do for whoever follows one.
SELECT FROM errands WHERE order_id = %(order)s ORDER BY id FOR UPDATE;
SELECT rtb_lock_order(%(order)s);
WITH marked AS (
    UPDATE orders SET state = 'cancelling', held_at = NULL, held_why = NULL, not_before = NULL
     WHERE id = %(order)s AND state = 'open' RETURNING id
), dropped AS (
    DELETE FROM errands USING marked WHERE order_id = marked.id
), asked AS (
    INSERT INTO errands (order_id, verb, whole, statuses, why, position, upto)
    SELECT id, 'cancel', true, '{waiting,sent,queued,processing}', %(why)s, -1,
           9223372036854775807
      FROM marked
), counted AS (
    SELECT c.id, c.waiting + c.sent + c.queued + c.processing AS units
      FROM marked JOIN counters c ON c.kind = 'order' AND c.id = marked.id
), told AS (
    INSERT INTO deeds (order_id, verb, whole, why, units)
    SELECT id, 'cancel', true, %(why)s, units FROM counted
)
SELECT units FROM counted;

-- name: discard_order
-- A load that a person took back, or that nobody goes on with.
WITH marked AS (
    UPDATE orders SET state = 'discarded' WHERE id = %(order)s AND state = 'loading' RETURNING id
), asked AS (
    INSERT INTO errands (order_id, verb, whole, statuses, upto)
    SELECT id, 'discard', true, '{}', 9223372036854775807 FROM marked
)
SELECT coalesce(c.waiting, 0)
  FROM marked LEFT JOIN counters c ON c.kind = 'order' AND c.id = marked.id;

-- name: hold_order
SELECT rtb_lock_order(%(order)s);
WITH marked AS (
    UPDATE orders SET held_at = coalesce(held_at, now()), held_why = %(why)s
     WHERE id = %(order)s AND state = 'open' RETURNING id
), counted AS (
    SELECT c.id, c.waiting FROM marked JOIN counters c ON c.kind = 'order' AND c.id = marked.id
), told AS (
    INSERT INTO deeds (order_id, verb, whole, why, units)
    SELECT id, 'hold', true, %(why)s, waiting FROM counted
)
SELECT waiting FROM counted;

-- name: release_order
SELECT rtb_lock_order(%(order)s);
WITH marked AS (
    UPDATE orders SET held_at = NULL, held_why = NULL
     WHERE id = %(order)s AND state = 'open' RETURNING id
), counted AS (
    SELECT c.id, c.waiting FROM marked JOIN counters c ON c.kind = 'order' AND c.id = marked.id
), told AS (
    INSERT INTO deeds (order_id, verb, whole, why, units)
    SELECT id, 'release', true, %(why)s, waiting FROM counted
)
SELECT waiting FROM counted;

-- name: prioritize_order
WITH marked AS (
    UPDATE orders SET priority = %(priority)s
     WHERE id = %(order)s AND state = 'open' RETURNING id
), counted AS (
    SELECT c.id, c.waiting FROM marked JOIN counters c ON c.kind = 'order' AND c.id = marked.id
), told AS (
    INSERT INTO deeds (order_id, verb, whole, why, priority, units)
    SELECT id, 'priority', true, %(why)s, %(priority)s, waiting FROM counted
)
SELECT waiting FROM counted;

-- name: count_units
-- How many units a filter finds. Only what a verb may touch counts.
SELECT count(*) FROM units u
 WHERE u.order_id = %(order)s AND u.status = ANY (%(statuses)s::unit_status[])
   AND (%(held)s::boolean IS NULL OR (u.held_at IS NOT NULL) = %(held)s)
   AND (%(prefix)s::text IS NULL OR starts_with(u.name, %(prefix)s))
   AND (%(unit)s::bigint IS NULL OR u.id = %(unit)s);

-- name: ask_units
-- Units are to follow; a single one is found by where it is. The order's row is locked against a cancel that would be forgotten.
WITH held AS MATERIALIZED (
    SELECT id FROM orders WHERE id = %(order)s AND state = 'open' FOR SHARE
), capped AS MATERIALIZED (
    SELECT rtb_check_cap(o.account_id, %(more)s) FROM held JOIN orders o ON o.id = held.id
     WHERE %(more)s > 0
), told AS (
    INSERT INTO deeds (order_id, verb, whole, statuses, prefix, why, priority, units)
    SELECT id, %(verb)s, false, %(statuses)s::unit_status[], %(prefix)s, %(why)s,
           CASE WHEN %(verb)s = 'priority' THEN %(priority)s END, %(units)s
      FROM held WHERE (SELECT count(*) FROM capped) >= 0
    RETURNING id
)
INSERT INTO errands
    (order_id, verb, whole, statuses, prefix, why, priority, position, upto, deed_id)
SELECT held.id, %(verb)s, false, %(statuses)s::unit_status[], %(prefix)s, %(why)s, %(priority)s,
       CASE WHEN %(unit)s::bigint IS NOT NULL THEN %(unit)s::bigint - 1
            WHEN %(verb)s = 'cancel' THEN -1 ELSE 0 END,
       coalesce(%(unit)s::bigint, (SELECT max(id) FROM units WHERE order_id = held.id), 0), told.id
  FROM held, told
RETURNING id;

-- name: next_errand
SELECT id, verb FROM errands ORDER BY id;

-- name: follow_cancel
-- The next batch of units to cancel; those in flight come first, and are told of.
WITH errand AS MATERIALIZED (
    SELECT * FROM errands WHERE id = %(errand)s FOR UPDATE SKIP LOCKED
), chosen AS MATERIALIZED (
    SELECT f.unit_id AS id
      FROM errand e, flights f JOIN units u ON u.id BETWEEN f.unit_id AND f.unit_id
     WHERE e.position < 0 AND u.order_id = e.order_id AND u.status = ANY (e.statuses)
       AND (e.prefix IS NULL OR starts_with(u.name, e.prefix))
    UNION ALL
    SELECT n.id
      FROM errand e, LATERAL (
          SELECT u.id FROM units u
           WHERE e.position >= 0 AND u.order_id = e.order_id AND u.id > e.position AND u.id <= e.upto
             AND u.status = ANY (e.statuses)
             AND (e.prefix IS NULL OR starts_with(u.name, e.prefix))
           ORDER BY u.id LIMIT 5000) n
), locked AS MATERIALIZED (
    SELECT u.id, u.status AS former, u.attempt, u.round, u.active, u.box_id, l.next
      FROM units u JOIN lifecycle l ON l.status = u.status AND l.kind = 'cancelled'
     WHERE u.id = ANY (ARRAY(SELECT id FROM chosen))
     ORDER BY u.id FOR UPDATE OF u
), moved AS (
    UPDATE units u
       SET status = l.next, active = NULL, box_id = NULL, ready = false, not_before = NULL,
           held_at = NULL, held_why = NULL
      FROM locked l WHERE u.id BETWEEN l.id AND l.id  -- see `apply`
), landed AS (
    DELETE FROM flights WHERE unit_id = ANY (ARRAY(SELECT id FROM locked))
), told AS (
    INSERT INTO events (unit_id, round, attempt, kind, who, detail,
                        claim_id, claimed_at, claimed_for)
    SELECT l.id, l.round, l.attempt, 'cancelled', 'a person',
           CASE WHEN e.why <> '' THEN json_build_object('why', e.why) END,
           f.claim_id, f.claimed_at, f.claimed_for
      FROM errand e, locked l
      LEFT JOIN flights f ON f.unit_id BETWEEN l.id AND l.id AND l.former = 'sent'
     ORDER BY l.id
), walked AS (
    UPDATE errands e
       SET position = coalesce((SELECT max(id) FROM chosen WHERE e.position >= 0),
                               greatest(e.position, 0)),
           followed = e.followed + (SELECT count(*) FROM locked)
      FROM errand WHERE e.id = errand.id
)
SELECT e.id, e.position >= 0 AND (SELECT count(*) FROM chosen) < 5000,
       (SELECT count(*) FROM locked),
       (SELECT coalesce(json_agg(json_build_array(b.name, l.id, l.active)), '[]')
          FROM locked l JOIN boxes b ON b.id = l.box_id WHERE l.active IS NOT NULL)
  FROM errand e;

-- name: follow_units
-- The next batch of units to hold, release, retry or give another priority.
WITH errand AS MATERIALIZED (
    SELECT * FROM errands WHERE id = %(errand)s FOR UPDATE SKIP LOCKED
), chosen AS MATERIALIZED (
    SELECT n.id
      FROM errand e, LATERAL (
          SELECT u.id FROM units u
           WHERE u.order_id = e.order_id AND u.id > e.position AND u.id <= e.upto
             AND u.status = ANY (e.statuses)
             AND (e.prefix IS NULL OR starts_with(u.name, e.prefix))
           ORDER BY u.id LIMIT 5000) n
), locked AS MATERIALIZED (
    SELECT u.id, u.status, u.attempt, u.round, u.held_at, e.verb, e.why, e.priority, r.next
      FROM errand e, units u
      LEFT JOIN lifecycle r ON r.status = u.status AND r.kind = 'retried'
     WHERE u.id = ANY (ARRAY(SELECT id FROM chosen)) AND u.status = ANY (e.statuses)
       AND CASE e.verb WHEN 'hold' THEN u.held_at IS NULL
                       WHEN 'release' THEN u.held_at IS NOT NULL
                       WHEN 'retry' THEN r.next IS NOT NULL
                       ELSE true END
     ORDER BY u.id FOR UPDATE OF u
), moved AS (
    UPDATE units u
       SET status = CASE WHEN l.verb = 'retry' THEN l.next ELSE u.status END,
           round = u.round + (l.verb = 'retry')::int,
           failures = CASE WHEN l.verb = 'retry' THEN 0 ELSE u.failures END,
           losses = CASE WHEN l.verb = 'retry' THEN 0 ELSE u.losses END,
           error = CASE WHEN l.verb = 'retry' THEN NULL ELSE u.error END,
           result = CASE WHEN l.verb = 'retry' THEN NULL ELSE u.result END,
           priority = CASE WHEN l.verb = 'priority' THEN l.priority ELSE u.priority END,
           held_at = CASE l.verb WHEN 'hold' THEN now() WHEN 'release' THEN NULL ELSE u.held_at END,
           held_why = CASE l.verb WHEN 'hold' THEN l.why WHEN 'release' THEN NULL
                                  ELSE u.held_why END,
           ready = CASE l.verb WHEN 'hold' THEN false
                               WHEN 'release' THEN u.status = 'waiting' AND u.not_before IS NULL
                               WHEN 'retry' THEN true
                               ELSE u.ready END
      FROM locked l WHERE u.id BETWEEN l.id AND l.id  -- see `apply`
), told AS (
    -- A round begins under its own number.
    INSERT INTO events (unit_id, round, attempt, kind, who, detail)
    SELECT id, round + 1, attempt, 'retried', 'a person',
           CASE WHEN why <> '' THEN json_build_object('why', why) END
      FROM locked WHERE verb = 'retry' ORDER BY id
), noted AS (
    INSERT INTO deeds_of_units (unit_id, deed_id)
    SELECT l.id, e.deed_id FROM locked l, errand e
     WHERE e.deed_id IS NOT NULL AND e.verb <> 'retry' ORDER BY l.id
), walked AS (
    UPDATE errands e
       SET position = coalesce((SELECT max(id) FROM chosen), e.position),
           followed = e.followed + (SELECT count(*) FROM locked)
      FROM errand WHERE e.id = errand.id
)
SELECT e.id, (SELECT count(*) FROM chosen) < 5000, (SELECT count(*) FROM locked), '[]'::json
  FROM errand e;

-- name: follow_discard
-- From where the last batch ended: to find it by looking would be to walk over all that is gone.
WITH errand AS MATERIALIZED (
    SELECT * FROM errands WHERE id = %(errand)s FOR UPDATE SKIP LOCKED
), gone AS (
    DELETE FROM units
     WHERE id = ANY (ARRAY(
         SELECT n.id FROM errand e, LATERAL (
             SELECT u.id FROM units u WHERE u.order_id = e.order_id AND u.id > e.position
              ORDER BY u.id LIMIT 5000) n))
    RETURNING id
), walked AS (
    UPDATE errands e
       SET position = coalesce((SELECT max(id) FROM gone), e.position),
           followed = e.followed + (SELECT count(*) FROM gone)
      FROM errand WHERE e.id = errand.id
)
SELECT e.id, (SELECT count(*) FROM gone) < 5000, (SELECT count(*) FROM gone), '[]'::json
  FROM errand e;

-- name: end_errand
-- All its units have followed. A cancelled order is like any other settled one from now on.
SELECT FROM errands WHERE id = %(errand)s FOR UPDATE;
SELECT rtb_lock_order(order_id) FROM errands WHERE id = %(errand)s AND whole;
WITH ended AS (
    DELETE FROM errands WHERE id = %(errand)s RETURNING order_id, verb, whole
), opened AS (
    UPDATE orders o SET state = 'open' FROM ended e
     WHERE o.id = e.order_id AND e.whole AND e.verb = 'cancel' AND o.state = 'cancelling'
), forgotten AS (
    DELETE FROM orders o USING ended e
     WHERE o.id = e.order_id AND e.verb = 'discard' AND o.state = 'discarded'
)
DELETE FROM counters c USING ended e
 WHERE e.verb = 'discard' AND c.kind = 'order' AND c.id = e.order_id;

-- name: abandoned_loads
-- Orders that load while nobody holds their lock: whoever loaded them is gone.
SELECT o.id FROM orders o
 WHERE o.state = 'loading' AND NOT EXISTS (
     SELECT FROM pg_locks k
      WHERE k.locktype = 'advisory' AND k.objsubid = 2
        AND k.database = (SELECT oid FROM pg_database WHERE datname = current_database())
        AND k.classid = %(lock_class)s::oid AND k.objid::bigint = o.id %% 2147483648);

-- name: forget_keys
DELETE FROM idempotency_keys WHERE at < now() - interval '7 days';

-- name: set_account
-- Weight and cap, effective at once: the gate keeps claims out meanwhile.
SELECT FROM gate WHERE one FOR UPDATE;
WITH known AS (
    INSERT INTO accounts AS a (name, weight, cap)
    VALUES (%(name)s, coalesce(%(weight)s, 1), %(cap)s)
    ON CONFLICT (name) DO UPDATE SET
        weight = coalesce(%(weight)s, a.weight),
        cap = CASE WHEN %(sets_cap)s THEN %(cap)s ELSE a.cap END
    RETURNING id, weight, cap
), held AS MATERIALIZED (
    SELECT c.* FROM known JOIN counters c ON c.kind = 'account' AND c.id = known.id
       FOR UPDATE OF c
), weighed AS (
    UPDATE shares s SET weight = known.weight FROM known
     WHERE s.account_id = known.id AND (SELECT count(*) FROM held) >= 0
)
SELECT k.weight, k.cap, coalesce(h.waiting + h.sent + h.queued + h.processing, 0)
  FROM known k LEFT JOIN held h ON true;
