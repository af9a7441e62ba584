-- A claim writes less: no row of history of its own, and no index entry of the units that it moves.

-- It is told along with what is told next of its attempt. Until then it stands in `flights`, under
-- the id that its line has from the beginning, so that `history` is in the order in which everything
-- happened.
ALTER TABLE flights
    ADD COLUMN claim_id bigint,         -- null, all three: it was told when it was made
    ADD COLUMN claimed_at timestamptz,
    ADD COLUMN claimed_for text;        -- the name of its box
ALTER TABLE events
    ADD COLUMN claim_id bigint,         -- where it is the first of an attempt
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

-- Ready units are found without an index that changes with each claim. An order hands out its units
-- as they were placed: up to `reached` none is ready that is not in `again`, where every unit comes
-- that becomes ready later than when it was placed, or goes before or behind the others. So the
-- claim's update is heap-only, given room: a batch takes all units of a page at once.
CREATE TABLE again (
    order_id bigint NOT NULL,
    rank smallint NOT NULL,  -- the lower goes first: less its priority
    unit_id bigint NOT NULL,
    PRIMARY KEY (order_id, rank, unit_id)
) WITH (fillfactor = 50);
ALTER TABLE orders ADD COLUMN reached bigint NOT NULL DEFAULT 0;
UPDATE orders o
   SET reached = coalesce((SELECT min(u.id) - 1 FROM units u WHERE u.line = o.id), 0)
 WHERE o.ready;
INSERT INTO again SELECT order_id, -priority, id FROM units WHERE ready AND priority <> 0;
ALTER TABLE units DROP COLUMN line;
ALTER TABLE units SET (fillfactor = 50);

-- The ready units of an order, in the order in which they go. Rows are compared as a whole, so that
-- nothing but the index by order has them in their order.
CREATE FUNCTION rtb_line(the_order bigint, reached bigint, most bigint)
RETURNS TABLE (id bigint, priority smallint) LANGUAGE sql STABLE AS $$
    (SELECT a.unit_id, (-a.rank)::smallint FROM again a
      WHERE (a.order_id, a.rank, a.unit_id) >= (the_order, -32768, 0)
        AND (a.order_id, a.rank, a.unit_id) < (the_order, 0, 0)
      ORDER BY a.order_id, a.rank, a.unit_id LIMIT most)
    UNION ALL
    (SELECT a.unit_id, 0::smallint FROM again a
      WHERE (a.order_id, a.rank, a.unit_id) >= (the_order, 0, 0)
        AND (a.order_id, a.rank, a.unit_id) <= (the_order, 0, reached)
      ORDER BY a.order_id, a.rank, a.unit_id LIMIT most)
    UNION ALL
    (SELECT u.id, 0::smallint FROM units u
      WHERE (u.order_id, u.id) > (the_order, reached) AND (u.order_id, u.id) < (the_order + 1, 0)
        AND u.ready AND u.priority = 0
      ORDER BY u.order_id, u.id LIMIT most)
    UNION ALL
    (SELECT a.unit_id, (-a.rank)::smallint FROM again a
      WHERE (a.order_id, a.rank, a.unit_id) >= (the_order, 1, 0)
        AND (a.order_id, a.rank, a.unit_id) < (the_order + 1, -32768, 0)
      ORDER BY a.order_id, a.rank, a.unit_id LIMIT most)
    ORDER BY 2 DESC, 1 LIMIT most
$$;

-- The old status comes from the rows that were really replaced, never from a self-join: two
-- overlapping flushes cannot leave a counter wrong.
CREATE OR REPLACE FUNCTION rtb_units_moved() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    -- Whoever moves a unit holds its lock, and so its row in `again`.
    IF EXISTS (SELECT FROM again) THEN
        DELETE FROM again WHERE ctid = ANY (ARRAY(
            SELECT a.ctid FROM former f, LATERAL (
                SELECT ctid FROM again
                 WHERE order_id = f.order_id AND rank = -f.priority AND unit_id = f.id OFFSET 0) a
             WHERE f.ready));
    END IF;
    IF EXISTS (SELECT FROM fresh WHERE ready) THEN
        INSERT INTO again SELECT order_id, -priority, id FROM fresh WHERE ready;
    END IF;
    PERFORM rtb_book(ARRAY(
        SELECT ROW(order_id, box_id, status, ready, sum(n))::unit_delta
          FROM (SELECT order_id, box_id, status, ready, 1 AS n FROM fresh
                UNION ALL
                SELECT order_id, box_id, status, ready, -1 FROM former) moved
         GROUP BY order_id, box_id, status, ready HAVING sum(n) <> 0));
    RETURN NULL;
END $$;

-- The pick: the :room units that go next over :kinds of work, in fair order. The first accounts in
-- fair order are the first rows of an index; of each, its first orders with ready units; of those,
-- exactly as many units as the account gets. It opens at most :room accounts, orders and units.
-- In PL/pgSQL, because that keeps the plan: planning takes longer than picking.
DROP FUNCTION rtb_pick;
CREATE FUNCTION rtb_pick(room bigint, kinds text[])
RETURNS TABLE (rank bigint, account_id bigint, order_id bigint, unit_id bigint, priority smallint)
LANGUAGE plpgsql STABLE ROWS 50
-- Where an index has the order already, no other one and a sort are better: they look so while a
-- table is empty, and would then walk all of an order.
SET enable_sort = off SET enable_incremental_sort = off AS $$
#variable_conflict use_column
BEGIN RETURN QUERY
WITH heads AS MATERIALIZED (
    SELECT s.account_id, s.flying, s.weight, s.served, sum(s.ready)::bigint AS ready
      FROM unnest(kinds) w, LATERAL (
          SELECT * FROM shares s
           WHERE s.workload = w AND s.ready > 0
           ORDER BY s.next_key, s.served, s.account_id
           LIMIT room) s
     GROUP BY s.account_id, s.flying, s.weight, s.served
     ORDER BY (s.flying + 1) / s.weight, s.served, s.account_id
     LIMIT room
), last AS MATERIALIZED (
    -- With as many heads as places, no place has a greater key than the last head's first.
    SELECT CASE WHEN count(*) = room THEN max((flying + 1) / weight) END AS key FROM heads
), places AS (
    SELECT h.account_id, h.flying, h.weight, h.served
      -- Of each no more than are due before that key, but for what rounding may take off.
      FROM heads h, last, generate_series(
               1, least(h.ready, room, floor(last.key * h.weight + 1e-6)::bigint - h.flying)) i
     ORDER BY (h.flying + i) / h.weight, h.served, h.account_id
     LIMIT room
), quotas AS MATERIALIZED (
    SELECT p.account_id, p.flying, p.weight, p.served, count(*) AS n
      FROM places p GROUP BY p.account_id, p.flying, p.weight, p.served
), lines AS MATERIALIZED (
    SELECT q.account_id, q.flying, q.weight, q.served, q.n, o.id, o.reached, c.ready,
           (sum(c.ready) OVER (PARTITION BY q.account_id ORDER BY o.priority DESC, o.id))::bigint
               - c.ready AS earlier
      FROM quotas q, unnest(kinds) w, LATERAL (
          SELECT o.id, o.priority, o.reached FROM orders o
           WHERE o.account_id = q.account_id AND o.workload = w AND o.ready
           ORDER BY o.priority DESC, o.id
           LIMIT q.n) o, LATERAL (
          -- An order that is ready has one unit at least, and that is often enough.
          SELECT CASE WHEN q.n = 1 THEN 1
                 ELSE (SELECT c.ready FROM counters c WHERE c.kind = 'order' AND c.id = o.id) END
                 AS ready OFFSET 0) c
)
SELECT row_number() OVER (ORDER BY (l.flying + l.earlier + u.i) / l.weight, l.served, l.account_id),
       l.account_id, l.id, u.id, u.priority
  FROM lines l
 CROSS JOIN LATERAL (
      SELECT r.id, r.priority, row_number() OVER (ORDER BY r.priority DESC, r.id) AS i
        FROM rtb_line(l.id, l.reached, least(l.ready, l.n - l.earlier)) r) u
 WHERE l.earlier < l.n;
END $$;

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
    picks record;
    moves bigint;
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
    SELECT array_agg(p.unit_id ORDER BY p.rank) AS units,
           array_agg(p.order_id ORDER BY p.rank) AS orders,
           array_agg(p.priority ORDER BY p.rank) AS priorities
      INTO picks
      FROM rtb_pick(box.room, box.workloads) p;
    IF picks.units IS NULL THEN
        RETURN;
    END IF;
    RETURN QUERY
    WITH locked AS MATERIALIZED (
        -- Whoever holds one of these, for example to cancel it, may wait for the counters that a
        -- flush in this transaction has locked.
        SELECT id FROM units
         WHERE id = ANY (picks.units) AND ready
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
                   'line', picks.units,
                   'orders', (SELECT json_object_agg(o.id, json_build_array(
                                  a.name, a.weight, o.priority, o.workload, o.time_limit))
                                FROM orders o JOIN accounts a ON a.id = o.account_id
                               WHERE o.id = ANY (ARRAY(SELECT DISTINCT unnest(picks.orders)))))
               ::text AS all_of_them
    )
    SELECT NULL::bigint, NULL::integer, NULL::bigint, NULL::text, all_of_them, NULL::smallint
      FROM said
    UNION ALL
    SELECT id, attempt, order_id, name, payload::text, priority FROM moved;
    -- Not past one that somebody else held: it may be ready again. And seldom: what was handed out
    -- since is only walked over.
    GET DIAGNOSTICS moves = ROW_COUNT;
    IF moves > cardinality(picks.units) THEN
        UPDATE orders o SET reached = p.upto
          FROM (SELECT order_id, max(unit_id) AS upto
                  FROM unnest(picks.units, picks.orders, picks.priorities)
                       AS p (unit_id, order_id, priority)
                 WHERE priority = 0 GROUP BY order_id) p
         WHERE o.id = p.order_id AND o.ready AND p.upto >= o.reached + 16;
    END IF;
END $$;
