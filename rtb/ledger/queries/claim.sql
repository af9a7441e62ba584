-- name: lock_gate
-- Comes right before `claim`, in the same transaction: a snapshot taken before the lock was got
-- would count from before a competitor's claim.
UPDATE gate SET claims = claims + 1 WHERE one AND going;

-- name: claim
-- Opens up to :most attempts for a box (:box, or the one with the most room), in fair order.
WITH candidates AS MATERIALIZED (
    SELECT b.id, b.name, b.workloads, e.epoch, g.ledger_id,
           b.capacity - coalesce(c.sent + c.queued, 0) AS free
      FROM boxes b
      JOIN box_states s USING (id)
      CROSS JOIN gate g
      CROSS JOIN epochs e
      LEFT JOIN counters c ON c.kind = 'box' AND c.id = b.id
     WHERE (b.name = %(box)s::text OR %(box)s::text IS NULL) AND g.going
       AND s.active AND NOT s.recalled  -- only while its leader reports
       AND b.capacity > coalesce(c.sent + c.queued, 0)
       AND EXISTS (SELECT FROM shares WHERE workload = ANY (b.workloads) AND ready > 0)
), box AS MATERIALIZED (
    SELECT *, least(free, %(most)s::integer) AS room
      FROM candidates ORDER BY free DESC, id LIMIT 1
), heads AS MATERIALIZED (
    -- The first accounts in fair order; more than there is room for cannot be needed.
    SELECT s.account_id, s.flying, s.weight, s.served, sum(s.ready)::bigint AS ready
      FROM box, unnest(box.workloads) w, LATERAL (
          SELECT * FROM shares s
           WHERE s.workload = w AND s.ready > 0
           ORDER BY s.next_key, s.served, s.account_id
           LIMIT (SELECT room FROM box)) s
     GROUP BY s.account_id, s.flying, s.weight, s.served
     ORDER BY (s.flying + 1) / s.weight, s.served, s.account_id
     LIMIT (SELECT room FROM box)
), places AS MATERIALIZED (
    -- The room's smallest keys (in flight + i) / weight: rtb.model.fairuse, in SQL.
    SELECT h.account_id, i, row_number() OVER (
               ORDER BY (h.flying + i) / h.weight, h.served, h.account_id) AS rank
      FROM box, heads h, generate_series(1, least(h.ready, box.room)) i
     ORDER BY rank
     LIMIT (SELECT room FROM box)
), picked AS MATERIALIZED (
    SELECT u.id, q.ranks[u.i] AS rank
      FROM box, (SELECT account_id, count(*) AS n, array_agg(rank ORDER BY i) AS ranks
                   FROM places GROUP BY account_id) q, LATERAL (
          SELECT r.id, row_number() OVER (ORDER BY o.priority DESC, o.id, r.id) AS i
            FROM orders o, LATERAL (
                SELECT id FROM units
                 WHERE line = o.id ORDER BY id LIMIT q.n) r
           WHERE o.account_id = q.account_id AND o.finished_at IS NULL
             AND o.workload = ANY (box.workloads)
           ORDER BY o.priority DESC, o.id, r.id
           LIMIT q.n) u
), locked AS MATERIALIZED (
    SELECT id FROM units
     WHERE id = ANY (ARRAY(SELECT id FROM picked)) AND ready
     ORDER BY id FOR UPDATE
), moved AS (
    UPDATE units u
       SET status = 'sent', ready = false, box_id = box.id,
           attempt = u.attempt + 1, active = u.attempt + 1
      FROM locked, box
     WHERE u.id = locked.id
    RETURNING u.id, u.attempt, u.round, u.order_id, u.name, u.payload
), flown AS (
    INSERT INTO flights (unit_id, attempt, box_id, api, seen)
    SELECT moved.id, moved.attempt, box.id, %(api)s::integer, box.epoch FROM moved, box
), told AS (
    INSERT INTO events (unit_id, round, attempt, kind, who)
    SELECT moved.id, round, attempt, 'claimed', box.name FROM moved, box
)
SELECT m.id, m.attempt, a.name, a.weight, o.priority, o.workload, o.time_limit, o.id, m.name,
       m.payload::text, box.ledger_id, box.name, (SELECT count(*) FROM candidates)
  FROM moved m
  CROSS JOIN box
  JOIN picked p ON p.id = m.id
  JOIN orders o ON o.id = m.order_id
  JOIN accounts a ON a.id = o.account_id
 ORDER BY p.rank;
