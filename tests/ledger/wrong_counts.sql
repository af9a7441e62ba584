-- Every counter, share, flight and finished order that differs from a recount; one statement, and
-- so one snapshot. No rows: all is well.
WITH statuses AS (
    SELECT unnest(enum_range(NULL::unit_status)) AS status
), placed AS (
    SELECT u.*, o.account_id, o.workload, o.barred, o.state IN ('open', 'cancelling', 'pruned') AS visible
      FROM units u JOIN orders o ON o.id = u.order_id
), gone AS (
    SELECT p.order_id, o.account_id, v.status::unit_status AS status, v.n
      FROM pruned p JOIN orders o ON o.id = p.order_id, LATERAL (VALUES
          ('success', p.success), ('error', p.error), ('cancelled', p.cancelled)) v (status, n)
     WHERE v.n <> 0
), there AS (
    SELECT order_id, account_id, box_id, status, 1 AS n, visible FROM placed
    UNION ALL
    SELECT order_id, account_id, NULL, status, n, true FROM gone
), recounted AS (
    SELECT k.kind, k.id, there.status, sum(n) AS n
      FROM there, LATERAL (VALUES
          ('total'::counter_kind, 0::bigint), ('order', order_id), ('account', account_id),
          ('box', box_id)) k (kind, id)
     WHERE k.id IS NOT NULL AND (visible OR k.kind = 'order')
     GROUP BY k.kind, k.id, there.status
), kept AS (
    SELECT kind, id, v.status::unit_status AS status, v.n
      FROM counters, LATERAL (VALUES
          ('waiting', waiting), ('sent', sent), ('queued', queued), ('processing', processing),
          ('success', success), ('error', error), ('cancelled', cancelled)) v (status, n)
), recounted_shares AS (
    SELECT account_id, workload, count(*) FILTER (WHERE ready AND NOT barred) AS ready
      FROM placed WHERE visible GROUP BY account_id, workload
), flying AS (
    SELECT account_id, count(*) FILTER (WHERE active IS NOT NULL) AS flying
      FROM placed GROUP BY account_id
)
SELECT format('counter %s %s %s', kind, id, status) AS what, kept.n AS kept, recounted.n AS counted
  FROM kept FULL JOIN recounted USING (kind, id, status)
 WHERE coalesce(kept.n, 0) <> coalesce(recounted.n, 0)
UNION ALL
SELECT format('ready %s %s', account_id, workload), s.ready, r.ready
  FROM shares s FULL JOIN recounted_shares r USING (account_id, workload)
 WHERE s.ready IS DISTINCT FROM coalesce(r.ready, 0)  -- all of them may be pruned
UNION ALL
SELECT format('flying %s %s', account_id, s.workload), s.flying, f.flying
  FROM shares s FULL JOIN flying f USING (account_id)
 WHERE s.flying IS DISTINCT FROM coalesce(f.flying, 0)
UNION ALL
SELECT format('served %s', account_id), min(served), max(served)
  FROM shares GROUP BY account_id HAVING min(served) <> max(served)
UNION ALL
SELECT format('finished order %s', o.id), (o.finished_at IS NOT NULL)::int, u.settled::int
  FROM orders o
  JOIN (SELECT order_id, bool_and(status IN ('success', 'error', 'cancelled')) AS settled
          FROM units GROUP BY order_id) u ON u.order_id = o.id
 WHERE (o.finished_at IS NOT NULL) <> u.settled
UNION ALL
SELECT format('line of order %s', o.id), cardinality(l.found), cardinality(l.ready)
  FROM orders o, LATERAL (
      SELECT ARRAY(SELECT id FROM rtb_line(o.id, o.reached, 1000000)) AS found,
             ARRAY(SELECT id FROM units WHERE order_id = o.id AND ready
                    ORDER BY priority DESC, id) AS ready) l
 WHERE l.found <> l.ready
UNION ALL
SELECT format('flight of %s', coalesce(u.id, f.unit_id)), f.attempt, u.active
  FROM flights f FULL JOIN (SELECT * FROM units WHERE active IS NOT NULL) u
    ON u.id = f.unit_id AND u.active = f.attempt AND u.box_id = f.box_id
 WHERE u.id IS NULL OR f.unit_id IS NULL
UNION ALL
-- A line of history per claim, and one that closes it unless it is open.
SELECT format('history of %s', u.id), count(*) FILTER (WHERE e.kind = 'claimed'),
       count(*) FILTER (WHERE e.kind NOT IN ('claimed', 'queued', 'processing', 'retried'))
           + (u.active IS NOT NULL)::int
  FROM units u JOIN history e ON e.unit_id = u.id
 GROUP BY u.id
HAVING NOT bool_or(e.kind = 'cancelled') AND (  -- a waiting unit is cancelled without a claim
       count(*) FILTER (WHERE e.kind = 'claimed') <>
       count(*) FILTER (WHERE e.kind NOT IN ('claimed', 'queued', 'processing', 'retried'))
           + (u.active IS NOT NULL)::int
    OR count(*) FILTER (WHERE e.kind = 'claimed') <> u.attempt);
