-- name: restored
SELECT restored_at IS NOT NULL FROM gate;

-- name: note_restored
UPDATE gate SET restored_at = coalesce(restored_at, now()) WHERE ledger_id = %(ledger)s;

-- name: before_renewal
SELECT g.ledger_id, g.restored_at IS NOT NULL, (SELECT count(*) FROM flights),
       c.waiting, c.success + c.error + c.cancelled
  FROM gate g, counters c
 WHERE c.kind = 'total';

-- name: renew
-- The gate first: a claim that is under way ends before, and its attempts are closed, too. A flush
-- that waits for one of these units finds its attempt closed.
UPDATE gate SET claims = claims + 1;
WITH locked AS MATERIALIZED (
    SELECT id, status AS former, round, attempt FROM units
     WHERE id = ANY (ARRAY(SELECT unit_id FROM flights)) AND active IS NOT NULL
     ORDER BY id FOR UPDATE
), moved AS (
    UPDATE units u
       SET status = 'waiting', active = NULL, box_id = NULL, ready = u.held_at IS NULL
      FROM locked WHERE u.id BETWEEN locked.id AND locked.id  -- see `apply`
), told AS (
    INSERT INTO events (unit_id, round, attempt, kind, who, detail,
                        claim_id, claimed_at, claimed_for)
    SELECT l.id, l.round, l.attempt, 'rescued', 'rtb ledger renew',
           json_build_object('why', 'the ledger was restored to an earlier state'),
           f.claim_id, f.claimed_at, f.claimed_for
      FROM locked l
      LEFT JOIN flights f ON f.unit_id BETWEEN l.id AND l.id AND l.former = 'sent'
), landed AS (
    DELETE FROM flights
)
UPDATE gate
   SET ledger_id = %(ledger)s, restored_at = NULL,
       attempts_from = 1000 * (2 + greatest(
           attempts_from, coalesce((SELECT max(attempt) FROM units), 0)) / 1000);
-- Nothing is claimed for a box before its leader has met the new ledger.
UPDATE boxes b SET seen = e.epoch - 3 FROM epochs e;
-- Nor shall what is placed from now on have the id of something that was placed in what was lost.
SELECT setval(pg_get_serial_sequence('orders', 'id'),
              nextval(pg_get_serial_sequence('orders', 'id')) + 1000000),
       setval(pg_get_serial_sequence('units', 'id'),
              nextval(pg_get_serial_sequence('units', 'id')) + 1000000);
