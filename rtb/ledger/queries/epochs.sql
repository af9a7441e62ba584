-- name: epoch
SELECT g.ledger_id, e.epoch FROM gate g, epochs e;

-- name: end_epoch
-- A barrier came out of the inbox; one that came twice changes nothing.
UPDATE epochs SET epoch = epoch + 1
 WHERE epoch = %(epoch)s AND EXISTS (SELECT FROM gate WHERE ledger_id = %(ledger)s);

-- name: forsaken
-- In flight and vouched for by nobody for three epochs, or claimed by an API that is gone (its
-- advisory lock is free) before anybody vouched for it. Asked for only behind a barrier: all that
-- was said before it has been applied.
SELECT g.ledger_id, f.unit_id, f.attempt, CASE WHEN f.seen < e.epoch - 3 THEN 'nobody vouched for it'
                                  ELSE 'the API that claimed it is gone' END
  FROM flights f CROSS JOIN epochs e CROSS JOIN gate g
 WHERE f.seen < e.epoch - 3
    OR (f.holder IS NULL AND f.api <> %(own)s AND NOT EXISTS (
            SELECT FROM pg_locks k
             WHERE k.locktype = 'advisory' AND k.objsubid = 2
               AND k.database = (SELECT oid FROM pg_database WHERE datname = current_database())
               AND k.classid = %(lock_class)s::oid AND k.objid::bigint = f.api))
 LIMIT 5000;

-- name: unnamed
-- Queued by earlier incarnations of the box and not named in the new one's first report.
SELECT g.ledger_id, f.unit_id, f.attempt, 'its leader was replaced'
  FROM flights f
  CROSS JOIN gate g
  JOIN boxes b ON b.id = f.box_id AND b.name = %(box)s AND b.leader = %(leader)s
  JOIN units u ON u.id BETWEEN f.unit_id AND f.unit_id AND u.status = 'queued'
 WHERE f.holder IS DISTINCT FROM %(leader)s;

-- name: wake
-- Retries whose time has come are ready again.
WITH due AS MATERIALIZED (
    SELECT id FROM units
     WHERE id = ANY (ARRAY(SELECT id FROM units WHERE not_before <= now()
                            ORDER BY not_before LIMIT 5000))
       AND not_before <= now()
     ORDER BY id FOR UPDATE
), woken AS (
    UPDATE units u
       SET not_before = NULL, ready = u.status = 'waiting' AND u.held_at IS NULL
      FROM due WHERE u.id BETWEEN due.id AND due.id  -- see `apply`
    RETURNING u.id
)
SELECT count(*) FROM woken;

-- name: wake_order
-- One at a time: each locks its account's counter before its own.
SELECT rtb_wake_order();

-- name: next_wake
-- Seconds until the next retry or order is due.
SELECT extract(epoch FROM least(
           (SELECT min(not_before) FROM units WHERE not_before IS NOT NULL),
           (SELECT min(not_before) FROM orders WHERE not_before IS NOT NULL)) - now())::float8;

-- name: lock_api
-- Shared, so that a new connection of the same API need not wait for the end of its last one.
SELECT pg_advisory_lock_shared(%(lock_class)s, %(key)s);
