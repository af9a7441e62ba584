-- A claim costs no row of history of its own: it is told along with what is told next of its attempt.
-- Until then it stands in `flights`, under the id that its line has from the beginning, so that
-- `history` is in the order in which everything happened.

ALTER TABLE flights
    ADD COLUMN claim_id bigint,         -- null, all three: its line is told already
    ADD COLUMN claimed_at timestamptz,
    ADD COLUMN claimed_for text;        -- the name of its box
ALTER TABLE events
    ADD COLUMN claim_id bigint,         -- of the first of an attempt
    ADD COLUMN claimed_at timestamptz,
    ADD COLUMN claimed_for text;

DROP VIEW history;
CREATE VIEW history AS
SELECT l.id, e.unit_id, l.at, e.round, e.attempt, l.kind, l.who, l.ran, l.detail,
       e.id AS event_id
  FROM events e CROSS JOIN LATERAL (
      SELECT e.claim_id * 4 + 3 AS id, e.claimed_at AS at, 'claimed'::event_kind AS kind,
             e.claimed_for AS who, NULL::float8 AS ran, NULL::json AS detail
       WHERE e.claim_id IS NOT NULL
      UNION ALL
      SELECT e.id * 4 + 1, e.at, 'queued',
             -- Before claims were told along with it, one had a row of its own.
             coalesce(e.claimed_for, (SELECT c.who FROM events c
                                       WHERE c.unit_id = e.unit_id AND c.attempt = e.attempt
                                         AND c.kind = 'claimed'), ''),
             NULL, NULL
       WHERE e.queued
      UNION ALL
      SELECT e.id * 4 + 2, e.at, 'processing', coalesce(e.starter, e.who), NULL, NULL
       WHERE e.started
      UNION ALL
      SELECT e.id * 4 + 3, e.at, e.kind, e.who, e.ran, e.detail) l
UNION ALL
SELECT f.claim_id * 4 + 3, f.unit_id, f.claimed_at, u.round, f.attempt, 'claimed', f.claimed_for,
       NULL, NULL, NULL
  FROM flights f JOIN units u ON u.id = f.unit_id
 WHERE f.claim_id IS NOT NULL AND u.status = 'sent';

-- Opens up to :most attempts for a box (:the_box, or the one with the most room), by fair use;
-- only where its own transaction has locked the gate. First comes a row with what is to be said of
-- all of them, as JSON in the place of a payload, their order as well; no row: there is nothing to
-- claim.
CREATE OR REPLACE FUNCTION rtb_claim(the_box text, most integer, the_api integer)
RETURNS TABLE (unit_id bigint, attempt integer, order_id bigint, name text, payload text,
               priority smallint)
LANGUAGE plpgsql ROWS 50 AS $$
#variable_conflict use_column
DECLARE
    box record;
BEGIN
    SELECT b.id, b.name, b.leader, b.workloads, e.epoch, g.ledger_id, g.attempts_from,
           least(b.capacity - coalesce(c.sent + c.queued, 0), most) AS room,
           count(*) OVER () AS boxes
      INTO box
      FROM gate g
     CROSS JOIN epochs e
     CROSS JOIN boxes b
      LEFT JOIN counters c ON c.kind = 'box' AND c.id = b.id
     WHERE g.xmin = pg_current_xact_id_if_assigned()::xid AND g.going AND g.restored_at IS NULL
       AND (b.name = the_box OR the_box IS NULL)
       AND b.seen >= e.epoch - 2  -- only while its leader reports
       AND b.capacity > coalesce(c.sent + c.queued, 0)
       AND EXISTS (SELECT FROM box_states s WHERE s.id = b.id AND NOT s.recalled)
       AND EXISTS (SELECT FROM shares WHERE workload = ANY (b.workloads) AND ready > 0)
     ORDER BY b.capacity - coalesce(c.sent + c.queued, 0) DESC, b.id
     LIMIT 1;
    IF NOT FOUND THEN
        RETURN;
    END IF;
    RETURN QUERY
    WITH picked AS MATERIALIZED (
        SELECT * FROM rtb_pick(box.room, box.workloads)
    ), locked AS MATERIALIZED (
        -- Whoever holds one of these, for example to cancel it, may wait for the counters that a
        -- flush in this transaction has locked.
        SELECT id FROM units
         WHERE id = ANY (ARRAY(SELECT unit_id FROM picked)) AND ready
         ORDER BY id FOR UPDATE SKIP LOCKED
    ), moved AS (
        -- By their ids alone: a join might walk all of the table, where it was planned when that was
        -- empty.
        UPDATE units u
           SET status = 'sent', ready = false, box_id = box.id,
               attempt = greatest(u.attempt, box.attempts_from) + 1,
               active = greatest(u.attempt, box.attempts_from) + 1
         WHERE u.id = ANY (ARRAY(SELECT id FROM locked))
        RETURNING u.id, u.attempt, u.order_id, u.name, u.payload, u.priority
    ), flown AS (
        INSERT INTO flights (unit_id, attempt, box_id, api, seen, claim_id, claimed_at, claimed_for)
        SELECT id, attempt, box.id, the_api, box.epoch, nextval('events_id_seq'), now(), box.name
          FROM moved
    ), said AS (
        SELECT json_build_object(
                   'ledger', box.ledger_id, 'box', box.name, 'leader', box.leader,
                   'boxes', box.boxes,
                   'line', (SELECT json_agg(unit_id ORDER BY rank) FROM picked),
                   'orders', (SELECT json_object_agg(o.id, json_build_array(
                                  a.name, a.weight, o.priority, o.workload, o.time_limit))
                                FROM orders o JOIN accounts a ON a.id = o.account_id
                               WHERE o.id = ANY (ARRAY(SELECT DISTINCT order_id FROM picked))))
               ::text AS all_of_them
    )
    SELECT NULL::bigint, NULL::integer, NULL::bigint, NULL::text, all_of_them, NULL::smallint
      FROM said
    UNION ALL
    SELECT id, attempt, order_id, name, payload::text, priority FROM moved;
END $$;
