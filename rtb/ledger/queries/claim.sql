-- name: claim
-- Opens up to :most attempts for a box, in fair order. Two statements in one round trip and one
-- transaction: the second needs a snapshot taken after the gate's lock was got, or it would count
-- from before a competitor's claim.
UPDATE gate SET claims = claims + 1 WHERE one AND going;
WITH box AS MATERIALIZED (
    SELECT b.id, b.workloads, e.epoch,
           greatest(0, least(b.capacity - coalesce(c.sent + c.queued, 0), %(most)s)) AS room
      FROM boxes b
      CROSS JOIN gate g
      CROSS JOIN epochs e
      LEFT JOIN counters c ON c.kind = 'box' AND c.id = b.id
     WHERE b.name = %(box)s AND g.going
       AND b.seen >= e.epoch - 2  -- only while its leader reports
), picked AS MATERIALIZED (
    SELECT p.* FROM box, LATERAL rtb_pick(box.room, box.workloads) p
), locked AS MATERIALIZED (
    SELECT id FROM units
     WHERE id = ANY (ARRAY(SELECT unit_id FROM picked)) AND ready
     ORDER BY id FOR UPDATE
), moved AS (
    UPDATE units u
       SET status = 'sent', ready = false, box_id = box.id,
           attempt = u.attempt + 1, active = u.attempt + 1
      FROM locked, box
     WHERE u.id = locked.id
    RETURNING u.id, u.attempt, u.round, u.order_id, u.name, u.payload, u.priority
), flown AS (
    INSERT INTO flights (unit_id, attempt, box_id, api, seen)
    SELECT moved.id, moved.attempt, box.id, %(api)s, box.epoch FROM moved, box
), told AS (
    INSERT INTO events (unit_id, round, attempt, kind, who)
    SELECT id, round, attempt, 'claimed', %(box)s FROM moved
)
SELECT m.id, m.attempt, a.name, a.weight, o.priority, o.workload, o.time_limit, o.id, m.name,
       m.payload::text, m.priority, (SELECT ledger_id FROM gate)
  FROM moved m
  JOIN picked p ON p.unit_id = m.id
  JOIN orders o ON o.id = m.order_id
  JOIN accounts a ON a.id = o.account_id
 ORDER BY p.rank;
