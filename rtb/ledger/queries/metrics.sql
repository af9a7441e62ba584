-- name: newest_event
SELECT coalesce(max(id), 0), now() - interval '5 seconds' FROM events;

-- name: paces
-- How long units waited and queued, by what was told behind event :after, in buckets; and why units
-- were given out again. Told long enough ago that no transaction which is still open has told
-- something before it. The last row says how far this came.
WITH next AS MATERIALIZED (
    SELECT id, unit_id, attempt, at, claimed_at, started OR kind = 'processing' AS begun
      FROM events WHERE id > %(after)s ORDER BY id LIMIT %(limit)s
), told AS MATERIALIZED (
    SELECT * FROM next
     WHERE id < (SELECT coalesce(min(id), 9223372036854775807) FROM next
                  WHERE at >= now() - interval '5 seconds')
), timed AS (
    -- A wait is since what happened last.
    SELECT 'claimed' AS kind, before.kind AS former,
           extract(epoch FROM t.claimed_at - coalesce(before.at, o.created_at))::float8 AS seconds
      FROM told t
      LEFT JOIN LATERAL (
          SELECT e.at, e.kind FROM events e
           WHERE e.unit_id = t.unit_id AND e.id < t.id
           ORDER BY e.id DESC LIMIT 1) before ON true
      LEFT JOIN units u ON u.id = t.unit_id AND before.at IS NULL
      LEFT JOIN orders o ON o.id = u.order_id
     WHERE t.claimed_at IS NOT NULL
    UNION ALL
    -- Time in a job tracker is since it was given out.
    SELECT 'processing', NULL,
           extract(epoch FROM t.at - coalesce(t.claimed_at, given.claimed_at))::float8
      FROM told t
      LEFT JOIN LATERAL (
          SELECT e.claimed_at FROM events e
           WHERE t.claimed_at IS NULL AND e.unit_id = t.unit_id AND e.attempt = t.attempt
             AND e.claimed_at IS NOT NULL) given ON true
     WHERE t.begun
)
SELECT kind, former::text, width_bucket(seconds, %(bounds)s::float8[]), count(*), sum(seconds)
  FROM timed WHERE seconds IS NOT NULL GROUP BY 1, 2, 3
UNION ALL
SELECT NULL, NULL, NULL, (SELECT count(*) FROM told),
       (SELECT coalesce(max(id), %(after)s) FROM told);

-- name: orders_ended
-- How long orders took that ended between :since and five seconds ago.
WITH ended AS (
    SELECT extract(epoch FROM finished_at - created_at)::float8 AS seconds
      FROM orders
     WHERE finished_at > %(since)s AND finished_at <= now() - interval '5 seconds'
)
SELECT width_bucket(seconds, %(bounds)s::float8[]), count(*), sum(seconds),
       now() - interval '5 seconds'
  FROM ended GROUP BY 1
UNION ALL
SELECT NULL, 0, 0, now() - interval '5 seconds';
