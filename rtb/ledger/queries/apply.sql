-- name: apply
-- One flush of the inbox: every move is a compare-and-set on (unit, open attempt, forward only).
-- Arrays :unit, :attempt, :kind (null: only vouched for), :vouches, :holder, :who, :ran, :result,
-- :why, :output, :jitter run in parallel, one element per (unit, attempt); the arrays :told_* are
-- the history that led there, oldest first. What was said of another ledger finds no unit.
WITH moves AS MATERIALIZED (
    SELECT * FROM unnest(
        %(unit)s::bigint[], %(attempt)s::integer[], %(kind)s::event_kind[], %(vouches)s::boolean[],
        %(holder)s::text[], %(started)s::boolean[], %(result)s::text[], %(why)s::text[],
        %(jitter)s::float8[])
        AS m (unit, attempt, kind, vouches, holder, started, result, why, jitter)
), locked AS MATERIALIZED (
    SELECT id, status, active, attempt, round, failures, losses, order_id
      FROM units
     WHERE id = ANY (%(unit)s::bigint[])
       AND EXISTS (SELECT FROM gate WHERE ledger_id = %(ledger)s::text)
     ORDER BY id FOR UPDATE
), judged AS MATERIALIZED (
    SELECT l.id, l.attempt, l.round, l.status AS former, l.failures, l.losses, m.result, m.jitter,
           m.vouches, m.holder, m.holder IS NULL OR m.holder IN (SELECT leader FROM boxes) AS led,
           CASE WHEN m.kind = 'failed' AND l.failures + 1 >= o.max_failures THEN 'error'
                WHEN lost_running AND l.losses + 1 >= %(max_losses)s::integer THEN 'error'
                ELSE m.kind END AS kind,
           m.kind AS said, lost_running,
           CASE WHEN lost_running
                THEN format('lost %%s times: the agent''s process ended while it ran the unit',
                            l.losses + 1)
                ELSE m.why END AS why
      FROM moves m
      JOIN locked l ON l.id = m.unit AND l.active = m.attempt
      JOIN orders o ON o.id = l.order_id
     CROSS JOIN LATERAL (
          -- Its start may be told by this very flush.
          SELECT m.kind = 'lost' AND (l.status = 'processing' OR m.started) AS lost_running) r
), decided AS MATERIALIZED (
    SELECT j.*, c.next, c.closing,
           j.said = 'failed' AND c.next = 'waiting' AS delayed
      FROM judged j JOIN lifecycle c ON c.status = j.former AND c.kind = j.kind
     -- A leader's word counts while it leads; an agent's may have been folded into the same move.
     WHERE j.led OR j.kind <> 'queued'
), moved AS (
    UPDATE units u
       SET status = d.next,
           active = CASE WHEN d.closing THEN NULL ELSE u.active END,
           box_id = CASE WHEN d.closing THEN NULL ELSE u.box_id END,
           ready = d.next = 'waiting' AND NOT d.delayed AND u.held_at IS NULL,
           not_before = CASE WHEN d.delayed THEN now() + make_interval(secs =>
               d.jitter * (%(backoff)s::float8[])[least(d.failures + 1, %(backoffs)s::integer)]) END,
           failures = u.failures + (d.said = 'failed')::int,
           losses = u.losses + d.lost_running::int,
           result = CASE WHEN d.kind = 'success' THEN d.result::json ELSE u.result END,
           error = CASE WHEN d.kind IN ('error', 'failed') THEN d.why
                        WHEN d.kind = 'success' THEN NULL ELSE u.error END
      FROM decided d
     WHERE u.id = d.id
), landed AS (
    DELETE FROM flights f USING decided d WHERE d.closing AND f.unit_id = d.id
), vouched AS (
    UPDATE flights f
       SET seen = e.epoch, holder = coalesce(j.holder, f.holder)
      FROM judged j
      -- Not `decided`: a join by unit with what looks like one row would be a loop over all pairs.
      LEFT JOIN lifecycle c ON c.status = j.former AND c.kind = j.kind
      CROSS JOIN epochs e
     WHERE j.vouches AND j.led AND c.closing IS NOT TRUE AND f.unit_id = j.id
       AND (f.seen < e.epoch OR f.holder IS DISTINCT FROM coalesce(j.holder, f.holder))
), told AS (
    INSERT INTO events (unit_id, round, attempt, kind, who, ran, detail)
    SELECT d.id, d.round, d.attempt,
           CASE WHEN t.kind = d.said THEN d.kind ELSE t.kind END,
           t.who, t.ran,
           CASE WHEN t.kind = d.said AND d.why <> ''
                THEN json_strip_nulls(json_build_object(
                    'why', d.why, 'output', nullif(t.output, ''))) END
      FROM unnest(
               %(told_unit)s::bigint[], %(told_attempt)s::integer[], %(told_kind)s::event_kind[],
               %(told_who)s::text[], %(told_ran)s::float8[], %(told_output)s::text[])
           WITH ORDINALITY AS t (unit, attempt, kind, who, ran, output, n)
      JOIN decided d ON d.id = t.unit AND d.attempt = t.attempt
      JOIN lifecycle c ON c.status = d.former AND c.kind = t.kind
     ORDER BY t.n
)
SELECT v.* FROM (
    SELECT m.unit, m.attempt, d.kind,
           coalesce(m.attempt <= l.attempt, g.ledger_id IS NULL) AS known,
           l.active IS NOT DISTINCT FROM m.attempt AS open,
           coalesce(d.delayed, false) AS delayed,
           d.kind IS NOT DISTINCT FROM m.kind AS as_said
      FROM moves m
      LEFT JOIN gate g ON g.ledger_id = %(ledger)s::text
      LEFT JOIN locked l ON l.id = m.unit
      LEFT JOIN decided d ON d.id = l.id AND d.attempt = m.attempt
) v
 -- What went as it was said needs no word.
 WHERE NOT (v.as_said AND v.known AND v.open) OR v.delayed;
