-- name: apply
-- One flush of the inbox: every move is a compare-and-set on (unit, open attempt, forward only).
-- The arrays run in parallel, one element per (unit, attempt); :kind is null where somebody only
-- vouched for it; :queued and :started: that was told as well, before it. What was said of another
-- ledger finds no unit.
-- Rows are joined by BETWEEN, with which nothing can be done but to look each up: where statistics are
-- of a moment when a table was nearly empty, as `flights` is again and again, a plan for an equal sign
-- would rather read all of its index.
WITH moves AS NOT MATERIALIZED (
    SELECT * FROM unnest(
        %(unit)s::bigint[], %(attempt)s::integer[], %(kind)s::event_kind[], %(vouches)s::boolean[],
        %(holder)s::text[], %(queued)s::boolean[], %(started)s::boolean[], %(starter)s::text[],
        %(who)s::text[], %(ran)s::float8[], %(result)s::text[], %(why)s::text[],
        %(output)s::text[], %(jitter)s::float8[])
        AS m (unit, attempt, kind, vouches, holder, queued, started, starter, who, ran, result, why,
              output, jitter)
), locked AS MATERIALIZED (
    SELECT id, status, active, attempt, round, failures, losses, order_id
      FROM units
     WHERE id = ANY (%(unit)s::bigint[])
       AND EXISTS (SELECT FROM gate WHERE ledger_id = %(ledger)s::text)
     ORDER BY id FOR UPDATE
), judged AS (
    SELECT m.*, l.round, l.status AS former, l.failures, l.losses, lost_running,
           m.holder IS NULL OR m.holder IN (SELECT leader FROM boxes) AS led,
           CASE WHEN m.kind = 'failed' AND l.failures + 1 >=
                     (SELECT max_failures FROM orders o WHERE o.id = l.order_id) THEN 'error'
                WHEN lost_running AND l.losses + 1 >= %(max_losses)s::integer THEN 'error'
                ELSE m.kind END AS booked,
           CASE WHEN lost_running
                THEN format('lost %%s times: the agent''s process ended while it ran the unit',
                            l.losses + 1)
                ELSE m.why END AS reason
      FROM moves m
      JOIN locked l ON l.id = m.unit AND l.active = m.attempt
     CROSS JOIN LATERAL (
          -- Its start may be told by this very flush.
          SELECT m.kind = 'lost' AND (l.status = 'processing' OR m.started) AS lost_running) r
), decided AS MATERIALIZED (
    -- Where it goes nowhere (no `next`), somebody may still have vouched for it.
    SELECT j.*, c.next, c.closing IS TRUE AS closing,
           j.kind = 'failed' AND c.next = 'waiting' AS delayed
      FROM judged j
      LEFT JOIN lifecycle c
        ON c.status = j.former AND c.kind = j.booked
       -- A leader's word counts while it leads; an agent's may have been folded into the same move.
       AND (j.led OR j.booked <> 'queued')
), moved AS (
    UPDATE units u
       SET status = d.next,
           active = CASE WHEN d.closing THEN NULL ELSE u.active END,
           box_id = CASE WHEN d.closing THEN NULL ELSE u.box_id END,
           ready = d.next = 'waiting' AND NOT d.delayed AND u.held_at IS NULL,
           not_before = CASE WHEN d.delayed THEN now() + make_interval(secs =>
               d.jitter * (%(backoff)s::float8[])[least(d.failures + 1, %(backoffs)s::integer)]) END,
           failures = u.failures + (d.kind = 'failed')::int,
           losses = u.losses + d.lost_running::int,
           result = CASE WHEN d.booked = 'success' THEN d.result::json ELSE u.result END,
           error = CASE WHEN d.booked IN ('error', 'failed') THEN d.reason
                        WHEN d.booked = 'success' THEN NULL ELSE u.error END
      FROM decided d
     WHERE u.id BETWEEN d.unit AND d.unit AND d.next IS NOT NULL
), landed AS (
    DELETE FROM flights f USING decided d
     WHERE d.closing AND f.unit_id BETWEEN d.unit AND d.unit
    RETURNING d.*, f.claim_id, f.claimed_at, f.claimed_for
), vouched AS (
    UPDATE flights f
       SET seen = e.epoch, holder = coalesce(d.holder, f.holder)
      FROM decided d
      CROSS JOIN epochs e
     WHERE d.vouches AND d.led AND NOT d.closing AND f.unit_id BETWEEN d.unit AND d.unit
       AND (f.seen < e.epoch OR f.holder IS DISTINCT FROM coalesce(d.holder, f.holder))
), told AS (
    -- In flight, statuses are in the order of a unit's life: what was told before counts only where
    -- it goes forward, too. Its claim is told with the first that is told after it.
    INSERT INTO events (unit_id, round, attempt, kind, who, ran, detail, queued, started, starter,
                        claim_id, claimed_at, claimed_for)
    SELECT n.unit, n.round, n.attempt, n.booked, n.who, n.ran,
           CASE WHEN n.reason <> ''
                THEN json_strip_nulls(json_build_object(
                    'why', n.reason, 'output', nullif(n.output, ''))) END,
           n.queued AND n.former < 'queued', n.started AND n.former < 'processing', n.starter,
           CASE WHEN n.former = 'sent' THEN n.claim_id END,
           CASE WHEN n.former = 'sent' THEN n.claimed_at END,
           CASE WHEN n.former = 'sent' THEN n.claimed_for END
      FROM (SELECT * FROM landed
             UNION ALL
            SELECT d.*, f.claim_id, f.claimed_at, f.claimed_for
              FROM decided d JOIN flights f ON f.unit_id BETWEEN d.unit AND d.unit
             WHERE d.next IS NOT NULL AND NOT d.closing) n
)
-- Only what went otherwise than it was said, or will be tried again; looked for where not all went
-- as it was said.
SELECT set_config('rtb.answer', CASE
    WHEN (SELECT count(*) FROM decided WHERE next IS NOT NULL AND booked = kind AND NOT delayed)
         = cardinality(%(unit)s::bigint[]) THEN ''
    ELSE (
        SELECT coalesce(json_agg(json_build_array(
                   v.unit, v.attempt, v.booked, v.known, v.open, v.delayed))::text, '')
          FROM (
            SELECT m.unit, m.attempt, d.booked,
                   coalesce(m.attempt <= l.attempt, g.ledger_id IS NULL) AS known,
                   l.active IS NOT DISTINCT FROM m.attempt AS open,
                   coalesce(d.delayed, false) AS delayed,
                   d.booked IS NOT DISTINCT FROM m.kind AS as_said
              FROM moves m
              LEFT JOIN decided d
                ON d.unit = m.unit AND d.attempt = m.attempt AND d.next IS NOT NULL
              LEFT JOIN locked l ON l.id = m.unit
              LEFT JOIN gate g ON g.ledger_id = %(ledger)s::text
             WHERE d.booked IS NULL OR d.booked <> m.kind OR d.delayed
          ) v
         WHERE NOT (v.as_said AND v.known AND v.open) OR v.delayed)
    END, true);
