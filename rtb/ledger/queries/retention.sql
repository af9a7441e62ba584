-- name: prune_rule
-- One process prunes at a time, as long as it is connected.
SELECT pg_try_advisory_lock(%(lock_class)s, 0);

-- name: prune_count
-- Orders that may go, and their units; then those under way, and what is left of theirs.
SELECT count(*), coalesce(sum(units), 0)::bigint
  FROM (SELECT c.success + c.error + c.cancelled AS units
          FROM orders o JOIN counters c ON c.kind = 'order' AND c.id = o.id
         WHERE o.state = 'open' AND o.finished_at <= now() - make_interval(secs => %(age)s)
           AND NOT EXISTS (SELECT FROM errands e WHERE e.order_id = o.id)
        UNION ALL
        SELECT c.success + c.error + c.cancelled - p.success - p.error - p.cancelled
          FROM pruned p JOIN counters c ON c.kind = 'order' AND c.id = p.order_id
         WHERE p.ended_at IS NULL) due;

-- name: prune_candidates
-- The next orders that may go, oldest first: as many as make one batch together, or a large one.
SELECT id
  FROM (SELECT o.id, n.units, sum(n.units) OVER (ORDER BY o.finished_at, o.id) AS upto
          FROM (SELECT id, finished_at FROM orders o
                 WHERE state = 'open' AND finished_at <= now() - make_interval(secs => %(age)s)
                   AND NOT EXISTS (SELECT FROM errands e WHERE e.order_id = o.id)
                 ORDER BY finished_at LIMIT 200) o
          JOIN counters c ON c.kind = 'order' AND c.id = o.id
         CROSS JOIN LATERAL (SELECT c.success + c.error + c.cancelled AS units) n) next
 WHERE upto <= 1000 OR upto = units;

-- name: prune_mark
-- From here on nobody finds their units. A retry that was asked for holds the row while it notes
-- its errand: first the lock, then a look with a snapshot that was taken after it.
SELECT FROM orders WHERE id = ANY (%(orders)s::bigint[]) ORDER BY id FOR UPDATE;
WITH marked AS (
    UPDATE orders o SET state = 'pruned'
     WHERE id = ANY (%(orders)s::bigint[]) AND state = 'open'
       AND finished_at <= now() - make_interval(secs => %(age)s)
       AND NOT EXISTS (SELECT FROM errands e WHERE e.order_id = o.id)
    RETURNING id
)
INSERT INTO pruned (order_id) SELECT id FROM marked;

-- name: prune_batch
-- Up to 1,000 units of what is under way with up to 4,000 events; a single unit with more goes
-- with all of them. From where the last batch ended: to find it by looking would be to walk over
-- all that is gone.
WITH ruling AS MATERIALIZED (
    SELECT pg_try_advisory_xact_lock(%(lock_class)s, 0) AS mine
), under_way AS MATERIALIZED (
    SELECT order_id, position FROM pruned
     WHERE ended_at IS NULL AND (SELECT mine FROM ruling)
     ORDER BY order_id LIMIT 200 FOR UPDATE
), chosen AS MATERIALIZED (
    SELECT w.order_id, u.id
      FROM under_way w, LATERAL (
          SELECT id FROM units WHERE order_id = w.order_id AND id > w.position
           ORDER BY id LIMIT 1000) u
     ORDER BY w.order_id, u.id LIMIT 1000
), counted AS MATERIALIZED (
    SELECT c.order_id, c.id, e.n, sum(e.n) OVER (ORDER BY c.order_id, c.id) AS upto
      FROM chosen c, LATERAL (SELECT count(*) AS n FROM events WHERE unit_id = c.id) e
), whole AS MATERIALIZED (
    SELECT order_id, id FROM counted WHERE upto <= 4000 OR upto = n
), past AS (
    DELETE FROM events WHERE unit_id = ANY (ARRAY(SELECT id FROM whole)) RETURNING 1
), gone AS (
    DELETE FROM units WHERE id = ANY (ARRAY(SELECT id FROM whole)) RETURNING order_id, status
), walked AS (
    UPDATE pruned p
       SET position = coalesce(l.last, p.position),
           success = p.success + l.success, error = p.error + l.error,
           cancelled = p.cancelled + l.cancelled,
           ended_at = CASE WHEN NOT EXISTS (
               SELECT FROM units u
                WHERE u.order_id = p.order_id AND u.id > coalesce(l.last, l.position))
               THEN now() END
      FROM (SELECT w.order_id, w.position,
                   (SELECT max(id) FROM whole WHERE order_id = w.order_id) AS last,
                   count(*) FILTER (WHERE g.status = 'success') AS success,
                   count(*) FILTER (WHERE g.status = 'error') AS error,
                   count(*) FILTER (WHERE g.status = 'cancelled') AS cancelled
              FROM under_way w LEFT JOIN gone g ON g.order_id = w.order_id
             GROUP BY w.order_id, w.position) l
     WHERE p.order_id = l.order_id
    RETURNING p.ended_at
)
SELECT (SELECT mine FROM ruling), (SELECT count(*) FROM under_way),
       (SELECT count(*) FROM walked WHERE ended_at IS NOT NULL), (SELECT count(*) FROM gone),
       (SELECT count(*) FROM past);

-- name: forget_incarnations
-- Lives of leaders that ended long ago: of each box, those with a successor that is a week old.
DELETE FROM incarnations i
 WHERE EXISTS (SELECT FROM incarnations s
                WHERE s.box_id = i.box_id AND s.began_at > i.began_at
                  AND s.began_at < now() - interval '7 days')
   AND NOT EXISTS (SELECT FROM boxes b WHERE b.leader = i.incarnation);
