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
    rank integer NOT NULL,  -- the lower goes first: less its priority
    unit_id bigint NOT NULL,
    PRIMARY KEY (order_id, rank, unit_id)
) WITH (fillfactor = 50);
ALTER TABLE orders ADD COLUMN reached bigint NOT NULL DEFAULT 0;
UPDATE orders o
   SET reached = coalesce((SELECT min(u.id) - 1 FROM units u WHERE u.line = o.id), 0)
 WHERE o.ready;
INSERT INTO again SELECT order_id, -priority::integer, id FROM units WHERE ready AND priority <> 0;
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
DECLARE
    deltas unit_delta[];
    are_again boolean;
    are_ready boolean;
BEGIN
    SELECT ARRAY(
               SELECT ROW(order_id, box_id, status, ready, sum(n))::unit_delta
                 FROM (SELECT order_id, box_id, status, ready, 1 AS n FROM fresh
                       UNION ALL
                       SELECT order_id, box_id, status, ready, -1 FROM former) moved
                GROUP BY order_id, box_id, status, ready HAVING sum(n) <> 0),
           EXISTS (SELECT FROM again), EXISTS (SELECT FROM fresh WHERE ready)
      INTO deltas, are_again, are_ready;
    -- Whoever moves a unit holds its lock, and so its row in `again`.
    IF are_again THEN
        DELETE FROM again WHERE ctid = ANY (ARRAY(
            SELECT a.ctid FROM former f, LATERAL (
                SELECT ctid FROM again
                 WHERE order_id = f.order_id AND rank = -f.priority::integer AND unit_id = f.id
                OFFSET 0) a
             WHERE f.ready));
    END IF;
    IF are_ready THEN
        INSERT INTO again SELECT order_id, -priority::integer, id FROM fresh WHERE ready;
    END IF;
    PERFORM rtb_book(deltas);
    RETURN NULL;
END $$;

-- What `rtb_book` does, for moves of one order and in one box if any: most transactions are of these,
-- and a few small statements cost them a third. False, and nothing is done: there are more.
CREATE OR REPLACE FUNCTION rtb_book_one(deltas unit_delta[]) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
    d unit_delta;
    the_order bigint := deltas[1].order_id;
    the_box bigint;
    nothing counters := ROW('total', 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, NULL, NULL);
    more counters := nothing;     -- of the order
    in_box counters := nothing;
    outcomes bigint := 0;
    begun boolean := false;       -- there are more that wait
    was record;
    of_account counters;
    of_order counters;
    is_barred boolean;
BEGIN
    FOREACH d IN ARRAY deltas LOOP
        IF d.order_id <> the_order OR d.box_id <> the_box THEN
            RETURN false;
        END IF;
        the_box := coalesce(the_box, d.box_id);
        IF d.status = 'sent' THEN
            more.sent := more.sent + d.n;
        ELSIF d.status = 'queued' THEN
            more.queued := more.queued + d.n;
        ELSIF d.status = 'processing' THEN
            more.processing := more.processing + d.n;
        ELSIF d.status = 'waiting' THEN
            more.waiting := more.waiting + d.n;
            begun := begun OR d.n > 0;
        ELSIF d.status = 'success' THEN
            more.success := more.success + d.n;
            outcomes := outcomes + greatest(d.n, 0);
        ELSIF d.status = 'error' THEN
            more.error := more.error + d.n;
            outcomes := outcomes + greatest(d.n, 0);
        ELSE
            more.cancelled := more.cancelled + d.n;
        END IF;
        IF d.ready THEN
            more.ready := more.ready + d.n;
        END IF;
    END LOOP;
    -- What is in flight is in a box, and nothing else is.
    in_box.sent := more.sent;
    in_box.queued := more.queued;
    in_box.processing := more.processing;

    SELECT account_id, workload, state IN ('open', 'cancelling') AS visible INTO was
      FROM orders WHERE id = the_order;
    IF was.visible THEN
        PERFORM rtb_count('total', 0, more, 0, outcomes);
        of_account := rtb_count('account', was.account_id, more, 0, outcomes);
    END IF;
    IF the_box IS NOT NULL THEN
        PERFORM rtb_count('box', the_box, in_box, 0, 0);
    END IF;
    of_order := rtb_count('order', the_order, more, more.ready, outcomes);
    IF NOT was.visible THEN
        RETURN true;
    END IF;

    SELECT barred INTO is_barred FROM orders WHERE id = the_order;
    IF more.ready > 0 THEN
        INSERT INTO shares (account_id, workload, weight, served, served_at)
        SELECT was.account_id, was.workload, a.weight,
               coalesce((SELECT max(served) FROM shares WHERE account_id = a.id), 0),
               (SELECT max(served_at) FROM shares WHERE account_id = a.id)
          FROM accounts a WHERE a.id = was.account_id
        ON CONFLICT (account_id, workload) DO NOTHING;
    END IF;
    IF more.sent > 0 THEN
        UPDATE shares
           SET ready = ready + CASE WHEN workload = was.workload AND NOT is_barred
                                    THEN more.ready ELSE 0 END,
               flying = of_account.sent + of_account.queued + of_account.processing,
               served = (SELECT claims FROM gate), served_at = now()
         WHERE account_id = was.account_id;
    ELSIF more.ready <> 0 OR more.sent + more.queued + more.processing <> 0 THEN
        UPDATE shares
           SET ready = ready + CASE WHEN workload = was.workload AND NOT is_barred
                                    THEN more.ready ELSE 0 END,
               flying = of_account.sent + of_account.queued + of_account.processing
         WHERE account_id = was.account_id;
    END IF;
    IF begun OR of_order.ready = 0
       OR of_order.waiting + of_order.sent + of_order.queued + of_order.processing = 0 THEN
        UPDATE orders
           SET finished_at = CASE WHEN of_order.waiting + of_order.sent + of_order.queued
                                       + of_order.processing = 0
                                  THEN coalesce(finished_at, now()) END,
               ready = NOT barred AND of_order.ready > 0
         WHERE id = the_order
           AND ((finished_at IS NULL) = (of_order.waiting + of_order.sent + of_order.queued
                                         + of_order.processing = 0)
                OR ready <> (NOT barred AND of_order.ready > 0));
    END IF;
    RETURN true;
END $$;

-- Keeps counters, shares and orders exact, in the moving transaction. Units are locked by now; the
-- counters follow, the total first: whoever has it may book more than once in a transaction, as a
-- flush does that claims, and nobody can hold what it comes to then and wait for the total. Whoever
-- writes a share, or bars or finishes an order, holds the counter of its account or order, so those
-- need no order of their own: each statement here has a snapshot of its own, and those after the
-- counters see what their holders committed.
CREATE OR REPLACE FUNCTION rtb_book(deltas unit_delta[]) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    touched bigint[];   -- accounts
    claimed bigint[];   -- accounts of which something was claimed
    more boolean;       -- there are units that became ready
    turning bigint[];   -- orders that may begin, end, or have nothing ready any more
BEGIN
    IF cardinality(deltas) = 0 OR rtb_book_one(deltas) THEN
        RETURN;
    END IF;
    WITH moved AS MATERIALIZED (
        SELECT d.order_id, d.box_id, d.status, d.ready, d.n, o.account_id,
               o.state IN ('open', 'cancelling') AS visible
          FROM unnest(deltas) d JOIN orders o ON o.id = d.order_id
    ), counted AS (
        INSERT INTO counters AS c
            (kind, id, waiting, sent, queued, processing, success, error, cancelled, ready,
             pace, paced_at, begun_at)
        SELECT k.kind, k.id,
               coalesce(sum(n) FILTER (WHERE status = 'waiting'), 0),
               coalesce(sum(n) FILTER (WHERE status = 'sent'), 0),
               coalesce(sum(n) FILTER (WHERE status = 'queued'), 0),
               coalesce(sum(n) FILTER (WHERE status = 'processing'), 0),
               coalesce(sum(n) FILTER (WHERE status = 'success'), 0),
               coalesce(sum(n) FILTER (WHERE status = 'error'), 0),
               coalesce(sum(n) FILTER (WHERE status = 'cancelled'), 0),
               coalesce(sum(n) FILTER (WHERE ready AND k.kind = 'order'), 0),
               coalesce(sum(n) FILTER (WHERE status IN ('success', 'error') AND n > 0), 0)
                   / rtb_tau(),
               clock_timestamp(), NULL
          FROM moved, LATERAL (VALUES
              -- Of what still loads, only the order itself knows.
              ('account'::counter_kind, account_id, visible), ('box', box_id, box_id IS NOT NULL),
              ('order', order_id, true), ('total', 0, visible)) k (kind, id, counts)
         WHERE k.counts
         GROUP BY k.kind, k.id
         ORDER BY k.kind <> 'total', k.kind, k.id
        ON CONFLICT (kind, id) DO UPDATE SET
            waiting = c.waiting + EXCLUDED.waiting,
            sent = c.sent + EXCLUDED.sent,
            queued = c.queued + EXCLUDED.queued,
            processing = c.processing + EXCLUDED.processing,
            success = c.success + EXCLUDED.success,
            error = c.error + EXCLUDED.error,
            cancelled = c.cancelled + EXCLUDED.cancelled,
            ready = c.ready + EXCLUDED.ready,
            pace = CASE WHEN EXCLUDED.pace = 0 THEN c.pace ELSE EXCLUDED.pace + c.pace * exp(-least(
                       extract(epoch FROM EXCLUDED.paced_at - c.paced_at) / rtb_tau(), 100)) END,
            paced_at = CASE WHEN EXCLUDED.pace = 0 THEN c.paced_at ELSE EXCLUDED.paced_at END,
            begun_at = CASE WHEN EXCLUDED.pace = 0 THEN c.begun_at
                            WHEN c.begun_at IS NULL
                                 OR c.paced_at < EXCLUDED.paced_at - make_interval(secs => 60)
                            THEN EXCLUDED.paced_at - make_interval(secs => 1)
                            ELSE c.begun_at END
        RETURNING kind, id, ready = 0 OR waiting + sent + queued + processing = 0 AS done
    )
    SELECT array_agg(DISTINCT account_id),
           array_agg(DISTINCT account_id) FILTER (WHERE status = 'sent' AND n > 0),
           bool_or(m.ready AND n > 0),
           array_agg(DISTINCT order_id) FILTER (WHERE status = 'waiting' AND n > 0 OR c.done)
      INTO touched, claimed, more, turning
      FROM moved m JOIN counted c ON c.kind = 'order' AND c.id = m.order_id
     WHERE visible;
    IF touched IS NULL THEN
        RETURN;
    END IF;

    IF more THEN
        -- All shares of an account say the same of it, also one that begins later than the others.
        INSERT INTO shares (account_id, workload, weight, served, served_at)
        SELECT DISTINCT o.account_id, o.workload, a.weight,
               coalesce((SELECT max(x.served) FROM shares x WHERE x.account_id = a.id), 0),
               (SELECT max(x.served_at) FROM shares x WHERE x.account_id = a.id)
          FROM unnest(turning) t (id)
          JOIN orders o ON o.id = t.id
          JOIN accounts a ON a.id = o.account_id
        ON CONFLICT (account_id, workload) DO NOTHING;
    END IF;

    -- A share is written only when it changes: what goes from one flying status to another changes
    -- none, and each version of a row that nobody needs makes the pick's index longer.
    UPDATE shares s
       SET ready = s.ready + n.ready,
           flying = n.flying,
           served = CASE WHEN n.claimed THEN g.claims ELSE s.served END,
           served_at = CASE WHEN n.claimed THEN now() ELSE s.served_at END
      FROM gate g, (
          SELECT x.account_id, x.workload, c.sent + c.queued + c.processing AS flying,
                 coalesce(r.n, 0) AS ready,
                 coalesce(x.account_id = ANY (claimed), false) AS claimed
            FROM unnest(touched) t (id)
            JOIN counters c ON c.kind = 'account' AND c.id = t.id
            JOIN shares x ON x.account_id = t.id
            LEFT JOIN (
                SELECT o.account_id, o.workload, sum(d.n) AS n
                  FROM unnest(deltas) d JOIN orders o ON o.id = d.order_id
                 WHERE d.ready AND NOT o.barred
                 GROUP BY o.account_id, o.workload) r
              ON r.account_id = x.account_id AND r.workload = x.workload) n
     WHERE s.account_id = n.account_id AND s.workload = n.workload
       AND (n.ready <> 0 OR n.claimed OR s.flying <> n.flying);

    IF turning IS NOT NULL THEN
        UPDATE orders o
           SET finished_at = CASE WHEN c.waiting + c.sent + c.queued + c.processing = 0
                                  THEN coalesce(o.finished_at, now()) END,
               ready = NOT o.barred AND c.ready > 0
          FROM counters c
         WHERE o.id = ANY (turning) AND c.kind = 'order' AND c.id = o.id
           AND ((o.finished_at IS NULL) = (c.waiting + c.sent + c.queued + c.processing = 0)
                OR o.ready <> (NOT o.barred AND c.ready > 0));
    END IF;
END $$;

-- Makes a loaded order visible.
CREATE OR REPLACE FUNCTION rtb_open_order(the_order bigint) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    the_account bigint := (SELECT account_id FROM orders WHERE id = the_order);
    loaded bigint;
BEGIN
    PERFORM FROM counters WHERE kind = 'total' AND id = 0 FOR UPDATE;
    INSERT INTO counters (kind, id) VALUES ('account', the_account) ON CONFLICT DO NOTHING;
    PERFORM FROM counters WHERE kind = 'account' AND id = the_account FOR UPDATE;
    SELECT waiting INTO loaded FROM counters WHERE kind = 'order' AND id = the_order FOR UPDATE;
    IF loaded IS NULL THEN
        RAISE EXCEPTION 'an order has at least one unit' USING ERRCODE = 'RT422';
    END IF;
    UPDATE counters SET waiting = waiting + loaded
     WHERE kind = 'account' AND id = the_account;
    UPDATE counters SET waiting = waiting + loaded WHERE kind = 'total';
    UPDATE orders SET state = 'open', created_at = now() WHERE id = the_order AND state = 'loading';
    IF NOT FOUND THEN
        RAISE EXCEPTION 'the order was cancelled while it loaded' USING ERRCODE = 'RT409';
    END IF;
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
