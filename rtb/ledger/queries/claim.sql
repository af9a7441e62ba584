-- name: lock_gate
-- Comes right before `claim`, in the same transaction: a snapshot taken before the lock was got
-- would count from before a competitor's claim. Where there is nothing to claim it writes nothing,
-- so that looking costs neither a lock nor a commit; what appears later is looked for again.
UPDATE gate SET claims = claims + 1
 WHERE one AND going AND restored_at IS NULL
   AND EXISTS (
       SELECT FROM boxes b
         JOIN box_states s USING (id)
         LEFT JOIN counters c ON c.kind = 'box' AND c.id = b.id
        WHERE s.active AND NOT s.recalled AND b.capacity > coalesce(c.sent + c.queued, 0)
          AND EXISTS (SELECT FROM shares WHERE workload = ANY (b.workloads) AND ready > 0));

-- name: claim
-- Opens up to :most attempts for a box (:box, or the one with the most room), in fair order.
WITH candidates AS MATERIALIZED (
    SELECT b.id, b.name, b.leader, b.workloads, e.epoch, g.ledger_id, g.attempts_from,
           b.capacity - coalesce(c.sent + c.queued, 0) AS free
      FROM boxes b
      JOIN box_states s USING (id)
      CROSS JOIN gate g
      CROSS JOIN epochs e
      LEFT JOIN counters c ON c.kind = 'box' AND c.id = b.id
     WHERE g.xmin = pg_current_xact_id_if_assigned()::xid  -- `lock_gate` has the lock
       AND (b.name = %(box)s::text OR %(box)s::text IS NULL) AND g.going AND g.restored_at IS NULL
       AND s.active AND NOT s.recalled  -- only while its leader reports
       AND b.capacity > coalesce(c.sent + c.queued, 0)
       AND EXISTS (SELECT FROM shares WHERE workload = ANY (b.workloads) AND ready > 0)
), box AS MATERIALIZED (
    SELECT *, least(free, %(most)s::integer) AS room
      FROM candidates ORDER BY free DESC, id LIMIT 1
), picked AS MATERIALIZED (
    SELECT p.* FROM box, LATERAL rtb_pick(box.room, box.workloads) p
), locked AS MATERIALIZED (
    SELECT id FROM units
     WHERE id = ANY (ARRAY(SELECT unit_id FROM picked)) AND ready
     ORDER BY id FOR UPDATE
), moved AS (
    UPDATE units u
       SET status = 'sent', ready = false, box_id = box.id,
           attempt = greatest(u.attempt, box.attempts_from) + 1,
           active = greatest(u.attempt, box.attempts_from) + 1
      FROM locked, box
     WHERE u.id = locked.id
    RETURNING u.id, u.attempt, u.round, u.order_id, u.name, u.payload, u.priority
), flown AS (
    INSERT INTO flights (unit_id, attempt, box_id, api, seen)
    SELECT moved.id, moved.attempt, box.id, %(api)s::integer, box.epoch FROM moved, box
), told AS (
    INSERT INTO events (unit_id, round, attempt, kind, who)
    SELECT moved.id, round, attempt, 'claimed', box.name FROM moved, box
)
SELECT m.id, m.attempt, a.name, a.weight, o.priority, o.workload, o.time_limit, o.id, m.name,
       m.payload::text, m.priority, box.ledger_id, box.name, box.leader, (SELECT count(*) FROM candidates)
  FROM moved m
  CROSS JOIN box
  JOIN picked p ON p.unit_id = m.id
  JOIN orders o ON o.id = m.order_id
  JOIN accounts a ON a.id = o.account_id
 ORDER BY p.rank;
