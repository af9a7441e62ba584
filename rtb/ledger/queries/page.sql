-- name: page_mark
-- Something that is different when anything was booked: cheap enough for every second.
SELECT g.going, g.claims, c.waiting, c.sent, c.queued, c.processing, c.success, c.error,
       c.cancelled, (SELECT max(id) FROM events), (SELECT count(*) FROM agents),
       (SELECT sum(seen) FROM boxes)
  FROM gate g, counters c WHERE c.kind = 'total' AND c.id = 0;

-- name: page_boxes
SELECT b.name, b.seen >= e.epoch - 2, b.capacity, coalesce(c.sent, 0), coalesce(c.queued, 0),
       coalesce(c.processing, 0), b.utilization, b.slots, b.busy,
       extract(epoch FROM b.reported_at)::float8,
       EXISTS (SELECT FROM flights f WHERE f.box_id = b.id), b.launcher::text
  FROM boxes b
 CROSS JOIN epochs e
  LEFT JOIN counters c ON c.kind = 'box' AND c.id = b.id
 ORDER BY b.name
 LIMIT 50;

-- name: page_agents
SELECT a.incarnation, a.name, a.host, b.name, a.presence, a.draining, a.slots, a.busy,
       extract(epoch FROM a.seen_at)::float8, extract(epoch FROM now() - a.seen_at)::float8,
       a.container
  FROM agents a
  JOIN boxes b ON b.id = a.box_id
 ORDER BY a.name, a.incarnation
 LIMIT 200;

-- name: page_running
-- What runs, longest first: by way of the flights, which are few.
SELECT u.id, u.name, e.who, extract(epoch FROM e.at)::float8
  FROM flights f
  JOIN units u ON u.id BETWEEN f.unit_id AND f.unit_id AND u.status = 'processing'
 CROSS JOIN LATERAL (
     SELECT who, at FROM events
      WHERE unit_id = u.id AND kind = 'processing' ORDER BY id DESC LIMIT 1) e
 ORDER BY e.at
 LIMIT %(limit)s;

-- name: page_orders
-- What needs somebody first, then what moves, then what waits, then what was finished last.
WITH opened AS (
    SELECT * FROM orders WHERE finished_at IS NULL ORDER BY id LIMIT 200
), finished AS (
    SELECT * FROM orders WHERE finished_at IS NOT NULL ORDER BY finished_at DESC LIMIT %(limit)s
)
SELECT o.id, a.name, o.name, o.workload, extract(epoch FROM o.created_at)::float8,
       extract(epoch FROM o.finished_at)::float8,
       o.held_at IS NOT NULL, o.state = 'cancelling',
       c.waiting, c.sent, c.queued, c.processing, c.success, c.error, c.cancelled
  FROM (SELECT * FROM opened UNION ALL SELECT * FROM finished) o
  JOIN accounts a ON a.id = o.account_id
  JOIN counters c ON c.kind = 'order' AND c.id = o.id
 ORDER BY o.finished_at IS NOT NULL, (o.finished_at IS NULL AND c.error > 0) DESC,
          c.sent + c.queued + c.processing > 0 DESC, o.finished_at DESC, o.id
 LIMIT %(limit)s;

-- name: page_news
-- The newest events behind one that is known.
SELECT h.event_id, h.unit_id, u.name, extract(epoch FROM h.at)::float8, h.kind, h.who, h.ran
  FROM (SELECT id FROM events WHERE id > %(after)s ORDER BY id DESC LIMIT %(limit)s) e
  JOIN history h ON h.event_id = e.id
  JOIN units u ON u.id = h.unit_id
 ORDER BY h.id;

-- name: page_errors
-- The newest errors that are still there, by what they say; numbers in them make no difference.
WITH newest AS MATERIALIZED (
    SELECT unit_id, at FROM events WHERE kind = 'error' ORDER BY id DESC LIMIT 2000
)
SELECT min(left(u.error, 160)), count(*), extract(epoch FROM min(n.at))::float8,
       extract(epoch FROM max(n.at))::float8, max(u.id), min(u.order_id), count(DISTINCT u.order_id)
  FROM newest n JOIN units u ON u.id = n.unit_id AND u.status = 'error'
 GROUP BY regexp_replace(left(u.error, 160), '[0-9]+', '#', 'g')
 ORDER BY 2 DESC, 4 DESC
 LIMIT 5;

-- name: page_health
-- How long units take, and how many nobody has vouched for in two epochs.
SELECT (SELECT percentile_cont(0.95) WITHIN GROUP (ORDER BY ran)
          FROM (SELECT ran FROM events WHERE kind = 'success' ORDER BY id DESC LIMIT 500) r),
       (SELECT count(*) FROM flights f, epochs e WHERE f.seen < e.epoch - 2);

-- name: page_cells
-- An order's units as letters, in their order, and their ids as first and length of each run.
WITH cells AS (
    SELECT id, id - row_number() OVER (ORDER BY id) AS run,
           substr('wsqpoec', array_position(enum_range(NULL::unit_status), status), 1) AS letter
      FROM units WHERE order_id = %(order)s
)
SELECT (SELECT string_agg(letter, '' ORDER BY id) FROM cells),
       (SELECT json_agg(json_build_array(first, n) ORDER BY first)::text
          FROM (SELECT min(id) AS first, count(*) AS n FROM cells GROUP BY run) runs);

-- name: page_bins
-- A large order's units, in :bins pieces of equal length: how many of each status.
SELECT (i - 1) * %(bins)s / %(total)s AS bin, min(id),
       count(*) FILTER (WHERE status = 'waiting'), count(*) FILTER (WHERE status = 'sent'),
       count(*) FILTER (WHERE status = 'queued'), count(*) FILTER (WHERE status = 'processing'),
       count(*) FILTER (WHERE status = 'success'), count(*) FILTER (WHERE status = 'error'),
       count(*) FILTER (WHERE status = 'cancelled')
  FROM (SELECT id, status, row_number() OVER (ORDER BY id) AS i
          FROM units WHERE order_id = %(order)s) numbered
 GROUP BY 1
 ORDER BY 1;

-- name: page_total
SELECT waiting + sent + queued + processing + success + error + cancelled, o.state = 'pruned'
  FROM counters c JOIN orders o ON o.id = c.id
 WHERE c.kind = 'order' AND c.id = %(order)s;

-- name: page_sample
-- Several APIs may write the same 5 s: the last one wins.
DELETE FROM samples WHERE at < now() - interval '25 hours';
INSERT INTO samples (at, waiting, held, processing, success, error, cancelled, fill)
SELECT to_timestamp(floor(extract(epoch FROM now()) / 5) * 5), c.waiting, c.sent + c.queued,
       c.processing, c.success, c.error, c.cancelled,
       coalesce((SELECT sum(b.utilization * b.capacity) / sum(b.capacity)
                   FROM boxes b, epochs e WHERE b.seen >= e.epoch - 2), 0)
  FROM counters c WHERE c.kind = 'total' AND c.id = 0
ON CONFLICT (at) DO UPDATE SET (waiting, held, processing, success, error, cancelled, fill) =
    (EXCLUDED.waiting, EXCLUDED.held, EXCLUDED.processing, EXCLUDED.success, EXCLUDED.error,
     EXCLUDED.cancelled, EXCLUDED.fill);

-- name: page_samples
-- The last sample of each :step seconds, and the one before them all.
(SELECT extract(epoch FROM at)::float8, waiting, held, processing, success, error, cancelled, fill
   FROM samples WHERE at < now() - make_interval(secs => %(seconds)s) ORDER BY at DESC LIMIT 1)
UNION ALL
SELECT * FROM (
    SELECT DISTINCT ON (floor(extract(epoch FROM at) / %(step)s))
           extract(epoch FROM at)::float8, waiting, held, processing, success, error, cancelled,
           avg(fill) OVER (PARTITION BY floor(extract(epoch FROM at) / %(step)s))::real
      FROM samples WHERE at >= now() - make_interval(secs => %(seconds)s)
     ORDER BY floor(extract(epoch FROM at) / %(step)s), at DESC) steps;

-- name: page_finished
SELECT id FROM orders WHERE id = ANY (%(orders)s) AND finished_at IS NOT NULL;

-- name: page_metrics
-- One look for a scrape: the books, what they should add up to, and the oldest of each status.
WITH o AS MATERIALIZED (
    SELECT waiting, sent + queued + processing AS flying, success, error, cancelled
      FROM counters WHERE kind = 'order'
), box AS (
    SELECT b.capacity, b.slots, b.seen >= e.epoch - 2 AS active,
           coalesce(c.sent + c.queued, 0) AS held, coalesce(c.processing, 0) AS processing
      FROM boxes b CROSS JOIN epochs e
      LEFT JOIN counters c ON c.kind = 'box' AND c.id = b.id
), age AS (
    SELECT u.status, max(now() - greatest(e.at, f.claimed_at)) AS oldest
      FROM (SELECT unit_id, claimed_at FROM flights LIMIT 2000) f
      JOIN units u ON u.id BETWEEN f.unit_id AND f.unit_id
      LEFT JOIN LATERAL (
         SELECT at FROM events WHERE unit_id = u.id ORDER BY id DESC LIMIT 1) e ON true
     GROUP BY u.status
)
SELECT g.going, t.waiting, t.sent, t.queued, t.processing, t.success, t.error, t.cancelled,
       (SELECT count(*) FROM flights),
       (SELECT coalesce(sum(waiting + flying + success + error + cancelled), 0)::bigint FROM o),
       (SELECT count(*) FILTER (WHERE waiting > 0 AND flying + success + error + cancelled = 0) FROM o),
       (SELECT count(*) FILTER (WHERE waiting + flying > 0
                                  AND flying + success + error + cancelled > 0) FROM o),
       (SELECT count(*) FILTER (WHERE waiting + flying = 0 AND error = 0 AND cancelled = 0) FROM o),
       (SELECT count(*) FILTER (WHERE waiting + flying = 0 AND error > 0) FROM o),
       (SELECT count(*) FILTER (WHERE waiting + flying = 0 AND error = 0 AND cancelled > 0) FROM o),
       (SELECT coalesce(sum(held), 0)::bigint FROM box),
       (SELECT coalesce(sum(capacity) FILTER (WHERE active), 0) FROM box),
       (SELECT coalesce(sum(slots) FILTER (WHERE active), 0) FROM box),
       (SELECT coalesce(sum(processing), 0)::bigint FROM box),
       (SELECT extract(epoch FROM max(now() - o2.created_at))::float8
          FROM (SELECT id, created_at FROM orders WHERE finished_at IS NULL ORDER BY id LIMIT 1000) o2
          JOIN counters c ON c.kind = 'order' AND c.id = o2.id AND c.waiting > 0),
       (SELECT json_object_agg(status, extract(epoch FROM oldest)::float8)::text FROM age),
       (SELECT json_agg(json_build_array(busy, extract(epoch FROM now() - seen_at)::float8))::text
          FROM agents),
       ARRAY(SELECT name FROM boxes ORDER BY name)
  FROM gate g, counters t WHERE t.kind = 'total' AND t.id = 0;

-- name: agents
SELECT a.incarnation, a.name, a.host, b.name,
       CASE WHEN a.draining THEN 'draining' ELSE a.presence END, a.slots, a.busy, a.workloads,
       a.seen_at, a.container, a.log
  FROM agents a
  JOIN boxes b ON b.id = a.box_id
 ORDER BY a.name, a.incarnation
 LIMIT 1000;
