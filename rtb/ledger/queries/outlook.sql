-- name: scene
-- How things are for a workload: :kinds are all that the leaders offer which offer it.
WITH here AS MATERIALIZED (
    SELECT b.*, %(workload)s::text = ANY (b.workloads) AS offers,
           greatest(0, b.capacity - coalesce(c.sent + c.queued, 0)) AS room
      FROM boxes b
      CROSS JOIN epochs e
      LEFT JOIN counters c ON c.kind = 'box' AND c.id = b.id
     WHERE b.seen >= e.epoch - 2
)
SELECT g.going, (SELECT count(*) FROM here), (SELECT count(*) FROM here WHERE offers),
       (SELECT coalesce(sum(slots), 0) FROM here WHERE offers),
       (SELECT coalesce(sum(room), 0)::bigint FROM here WHERE offers),
       rtb_rate(t.pace, t.paced_at, t.begun_at), t.processing,
       ARRAY(SELECT DISTINCT unnest(workloads) FROM here WHERE offers)
  FROM gate g JOIN counters t ON t.kind = 'total';

-- name: rivals
SELECT s.account_id, min(s.weight), min(s.flying),
       coalesce(sum(s.ready) FILTER (WHERE s.workload = ANY (%(kinds)s::text[])), 0)::bigint,
       min(s.served)
  FROM shares s
 WHERE s.ready > 0 OR s.flying > 0
 GROUP BY s.account_id;

-- name: line_of_order
-- An order, and what of its account goes before it.
SELECT o.account_id, o.workload, o.state, o.held_at IS NOT NULL,
       CASE WHEN o.not_before IS NOT NULL
            THEN greatest(extract(epoch FROM o.not_before - now()), 0)::float8 END,
       c.ready, c.waiting - c.ready, c.sent + c.queued + c.processing,
       (SELECT coalesce(sum(f.ready), 0)::bigint
          FROM orders p JOIN counters f ON f.kind = 'order' AND f.id = p.id
         WHERE p.account_id = o.account_id AND p.ready AND p.workload = ANY (%(kinds)s::text[])
           AND (p.priority > o.priority OR p.priority = o.priority AND p.id < o.id))
  FROM orders o LEFT JOIN counters c ON c.kind = 'order' AND c.id = o.id
 WHERE o.id = %(order)s AND o.state <> 'discarded';

-- name: workload_of_order
SELECT workload FROM orders WHERE id = %(order)s;

-- name: places_of_units
-- Those of :units, all of one order, that wait, and how many ready units of it go before each;
-- counted no further than to :most.
WITH line AS MATERIALIZED (
    SELECT id, row_number() OVER (ORDER BY priority DESC, id) - 1 AS earlier
      FROM rtb_line(%(order)s, (SELECT reached FROM orders WHERE id = %(order)s), %(most)s)
)
SELECT u.id, u.held_at IS NOT NULL,
       CASE WHEN u.not_before IS NOT NULL
            THEN greatest(extract(epoch FROM u.not_before - now()), 0)::float8 END, u.ready,
       coalesce(l.earlier, %(most)s)
  FROM units u LEFT JOIN line l ON l.id = u.id
 WHERE u.id = ANY (%(units)s::bigint[]) AND u.order_id = %(order)s AND u.status = 'waiting';

-- name: fair
SELECT a.id, a.name, a.weight, a.cap,
       coalesce(c.waiting, 0), coalesce(c.sent + c.queued + c.processing, 0),
       coalesce(s.ready, 0)::bigint, s.served_at
  FROM accounts a
  LEFT JOIN counters c ON c.kind = 'account' AND c.id = a.id
  LEFT JOIN (SELECT account_id, sum(ready) AS ready, max(served_at) AS served_at
               FROM shares GROUP BY account_id) s ON s.account_id = a.id
 WHERE c.waiting + c.sent + c.queued + c.processing > 0 OR a.cap IS NOT NULL OR a.weight <> 1
 ORDER BY c.sent + c.queued + c.processing DESC NULLS LAST, c.waiting DESC NULLS LAST, a.name
 LIMIT 1000;
