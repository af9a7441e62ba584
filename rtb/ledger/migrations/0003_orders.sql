-- Orders that people hold, delay, cancel, retry and stream in; and a pick that never walks them.

CREATE TYPE order_state AS ENUM (
    'loading',     -- its units still come in: neither picked nor counted
    'open',
    'cancelling',  -- cancelled for good; its units follow in batches
    'discarded'    -- a load that came to nothing; its units go in batches, then the order
);

ALTER TABLE accounts ADD COLUMN cap bigint CHECK (cap >= 0);  -- most open units; null: no limit

ALTER TABLE orders
    ADD COLUMN labels jsonb NOT NULL DEFAULT '{}',
    ADD COLUMN state order_state NOT NULL DEFAULT 'open',
    ADD COLUMN not_before timestamptz,
    ADD COLUMN held_at timestamptz,
    ADD COLUMN held_why text,
    -- Its ready units do not count in its account's share. Changed only by who holds the order's
    -- counter, so that a move that is being booked sees it before or after, never between.
    ADD COLUMN barred boolean GENERATED ALWAYS AS (
        state <> 'open' OR held_at IS NOT NULL OR not_before IS NOT NULL) STORED,
    -- Not barred, and has ready units: only these are looked at by the pick.
    ADD COLUMN ready boolean NOT NULL DEFAULT false;
DROP INDEX orders_unfinished;
CREATE INDEX orders_ready ON orders (account_id, workload, priority DESC, id) WHERE ready;
CREATE INDEX orders_delayed ON orders (not_before) WHERE not_before IS NOT NULL;
CREATE INDEX orders_unsettled ON orders (state) WHERE state <> 'open';

ALTER TABLE units
    ADD COLUMN priority smallint NOT NULL DEFAULT 0,  -- inside its order; higher goes first
    ADD COLUMN held_why text;
DROP INDEX units_ready;
CREATE INDEX units_ready ON units (line, priority DESC, id) WHERE line IS NOT NULL;

ALTER TABLE shares ADD COLUMN served_at timestamptz;

ALTER TABLE counters
    ADD COLUMN ready bigint NOT NULL DEFAULT 0,  -- of an order: its ready units, barred or not
    -- Outcomes per second, fading with rtb_tau(): how fast it goes, without any history.
    ADD COLUMN pace double precision NOT NULL DEFAULT 0,
    ADD COLUMN paced_at timestamptz,
    ADD COLUMN begun_at timestamptz;  -- since when the pace has been watched
UPDATE counters c
   SET ready = (SELECT count(*) FROM units u WHERE u.order_id = c.id AND u.ready)
 WHERE kind = 'order';
UPDATE orders o SET ready = true
  FROM counters c WHERE c.kind = 'order' AND c.id = o.id AND c.ready > 0;

-- What units still have to follow: one row per verb, worked off in batches, by whichever API.
CREATE TABLE errands (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    order_id bigint NOT NULL,
    verb text NOT NULL
        CHECK (verb IN ('cancel', 'hold', 'release', 'retry', 'priority', 'discard')),
    whole boolean NOT NULL,  -- of the order itself, not of units by filter
    statuses unit_status[] NOT NULL,
    prefix text,
    why text,
    priority smallint,
    position bigint NOT NULL DEFAULT 0,  -- all units up to this one have followed
    upto bigint NOT NULL,                -- none after this one will
    followed bigint NOT NULL DEFAULT 0,
    asked_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX errands_by_order ON errands (order_id);

-- A key stands here when its order has been placed; while it is being placed, an advisory lock.
CREATE TABLE idempotency_keys (
    key text PRIMARY KEY,
    fingerprint text NOT NULL,
    answer text NOT NULL,
    at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX idempotency_keys_by_age ON idempotency_keys (at);

CREATE FUNCTION rtb_tau() RETURNS double precision LANGUAGE sql IMMUTABLE AS 'SELECT 20.0::float8';

-- Outcomes per second now. Watched for less than tau, the fading sum is short of its due.
CREATE FUNCTION rtb_rate(pace double precision, paced_at timestamptz, begun_at timestamptz)
RETURNS double precision LANGUAGE sql STABLE AS $$
    SELECT CASE WHEN begun_at IS NULL THEN 0 ELSE
        pace * exp(-least(extract(epoch FROM clock_timestamp() - paced_at) / rtb_tau(), 100))
        / (1 - exp(-greatest(extract(epoch FROM clock_timestamp() - begun_at), 1) / rtb_tau()))
        END::float8
$$;

-- Keeps counters, shares and orders exact, in the moving transaction. Units are locked by now; the
-- counters follow in the order (kind, id). Whoever writes a share, or bars or finishes an order,
-- holds the counter of its account or order, so those need no order of their own: each statement
-- here has a snapshot of its own, and those after the counters see what their holders committed.
CREATE OR REPLACE FUNCTION rtb_book(deltas unit_delta[]) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    touched_accounts bigint[];
    touched_orders bigint[];
BEGIN
    IF cardinality(deltas) = 0 THEN
        RETURN;
    END IF;
    INSERT INTO counters AS c
        (kind, id, waiting, sent, queued, processing, success, error, cancelled, ready,
         pace, paced_at, begun_at)
    SELECT kind, id,
           coalesce(sum(n) FILTER (WHERE status = 'waiting'), 0),
           coalesce(sum(n) FILTER (WHERE status = 'sent'), 0),
           coalesce(sum(n) FILTER (WHERE status = 'queued'), 0),
           coalesce(sum(n) FILTER (WHERE status = 'processing'), 0),
           coalesce(sum(n) FILTER (WHERE status = 'success'), 0),
           coalesce(sum(n) FILTER (WHERE status = 'error'), 0),
           coalesce(sum(n) FILTER (WHERE status = 'cancelled'), 0),
           coalesce(sum(n) FILTER (WHERE ready AND kind = 'order'), 0),
           coalesce(sum(n) FILTER (WHERE status IN ('success', 'error') AND n > 0), 0) / rtb_tau(),
           clock_timestamp(), NULL
      FROM (
          -- Of what still loads, only the order itself knows.
          SELECT 'account'::counter_kind AS kind, o.account_id AS id, d.status, d.ready, d.n
            FROM unnest(deltas) d JOIN orders o ON o.id = d.order_id
           WHERE o.state IN ('open', 'cancelling')
          UNION ALL
          SELECT 'box', d.box_id, d.status, d.ready, d.n
            FROM unnest(deltas) d WHERE d.box_id IS NOT NULL
          UNION ALL
          SELECT 'order', d.order_id, d.status, d.ready, d.n FROM unnest(deltas) d
          UNION ALL
          SELECT 'total', 0, d.status, d.ready, d.n
            FROM unnest(deltas) d JOIN orders o ON o.id = d.order_id
           WHERE o.state IN ('open', 'cancelling')
      ) keyed
     GROUP BY kind, id
     ORDER BY kind, id
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
                        ELSE c.begun_at END;

    SELECT array_agg(DISTINCT o.account_id), array_agg(DISTINCT o.id)
      INTO touched_accounts, touched_orders
      FROM unnest(deltas) d JOIN orders o ON o.id = d.order_id
     WHERE o.state IN ('open', 'cancelling');

    -- All shares of an account say the same of it, also one that begins later than the others.
    INSERT INTO shares AS s (account_id, workload, ready, weight, served, served_at)
    SELECT o.account_id, o.workload,
           coalesce(sum(d.n) FILTER (WHERE d.ready AND NOT o.barred), 0), min(a.weight),
           coalesce((SELECT max(x.served) FROM shares x WHERE x.account_id = o.account_id), 0),
           (SELECT max(x.served_at) FROM shares x WHERE x.account_id = o.account_id)
      FROM unnest(deltas) d
      JOIN orders o ON o.id = d.order_id
      JOIN accounts a ON a.id = o.account_id
     WHERE o.state IN ('open', 'cancelling')
     GROUP BY o.account_id, o.workload
    ON CONFLICT (account_id, workload) DO UPDATE SET ready = s.ready + EXCLUDED.ready;

    UPDATE shares s
       SET flying = c.sent + c.queued + c.processing,
           served = CASE WHEN s.account_id = ANY (claimed.accounts) THEN g.claims
                         ELSE s.served END,
           served_at = CASE WHEN s.account_id = ANY (claimed.accounts) THEN now()
                            ELSE s.served_at END
      FROM counters c, gate g, (
          SELECT array_agg(o.account_id) AS accounts
            FROM unnest(deltas) d JOIN orders o ON o.id = d.order_id
           WHERE d.status = 'sent' AND d.n > 0
      ) claimed
     WHERE s.account_id = ANY (touched_accounts)
       AND c.kind = 'account' AND c.id = s.account_id;

    UPDATE orders o
       SET finished_at = CASE WHEN c.waiting + c.sent + c.queued + c.processing = 0
                              THEN coalesce(o.finished_at, now()) END,
           ready = NOT o.barred AND c.ready > 0
      FROM counters c
     WHERE o.id = ANY (touched_orders) AND c.kind = 'order' AND c.id = o.id
       AND ((o.finished_at IS NULL) = (c.waiting + c.sent + c.queued + c.processing = 0)
            OR o.ready <> (NOT o.barred AND c.ready > 0));
END $$;

-- The way to change what bars an order: this first, then the UPDATE. The gate comes before all
-- else, so that no claim that began earlier still takes from an order that is held by now.
CREATE FUNCTION rtb_lock_order(the_order bigint) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM FROM gate WHERE one FOR UPDATE;
    PERFORM FROM counters
      WHERE kind = 'account' AND id = (SELECT account_id FROM orders WHERE id = the_order)
        FOR UPDATE;
    PERFORM FROM counters WHERE kind = 'order' AND id = the_order FOR UPDATE;
END $$;

CREATE FUNCTION rtb_order_barred() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    of_order bigint := (SELECT ready FROM counters WHERE kind = 'order' AND id = NEW.id);
BEGIN
    INSERT INTO shares AS s (account_id, workload, ready, flying, weight, served, served_at)
    SELECT NEW.account_id, NEW.workload, CASE WHEN NEW.barred THEN 0 ELSE of_order END,
           coalesce(c.sent + c.queued + c.processing, 0), a.weight,
           coalesce((SELECT max(x.served) FROM shares x WHERE x.account_id = a.id), 0),
           (SELECT max(x.served_at) FROM shares x WHERE x.account_id = a.id)
      FROM accounts a
      LEFT JOIN counters c ON c.kind = 'account' AND c.id = a.id
     WHERE a.id = NEW.account_id AND of_order > 0
    ON CONFLICT (account_id, workload) DO UPDATE
       SET ready = s.ready + CASE WHEN NEW.barred THEN -of_order ELSE of_order END;
    UPDATE orders SET ready = NOT NEW.barred AND of_order > 0
     WHERE id = NEW.id AND ready <> (NOT NEW.barred AND of_order > 0);
    RETURN NULL;
END $$;
CREATE TRIGGER orders_barred AFTER UPDATE OF state, held_at, not_before ON orders
    FOR EACH ROW WHEN (OLD.barred <> NEW.barred) EXECUTE FUNCTION rtb_order_barred();

-- One order whose time has come; null when there is none.
CREATE FUNCTION rtb_wake_order() RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    due bigint := (SELECT id FROM orders WHERE not_before <= now() ORDER BY not_before LIMIT 1);
BEGIN
    IF due IS NOT NULL THEN
        PERFORM rtb_lock_order(due);
        UPDATE orders SET not_before = NULL WHERE id = due AND not_before <= now();
    END IF;
    RETURN due;
END $$;

-- The account of that name, made where accounts are open.
CREATE FUNCTION rtb_account(the_name text, closed boolean) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    found bigint := (SELECT id FROM accounts WHERE name = the_name);
BEGIN
    IF found IS NULL AND closed THEN
        RAISE EXCEPTION 'there is no account of that name' USING ERRCODE = 'RT404';
    ELSIF found IS NULL THEN
        INSERT INTO accounts (name) VALUES (the_name)
        ON CONFLICT (name) DO UPDATE SET name = EXCLUDED.name
        RETURNING id INTO found;
    END IF;
    RETURN found;
END $$;

-- Refuses what would bring an account over its cap: :more units that are not counted yet, or
-- :placed ones that are. It is exact where the account's counter is held.
CREATE FUNCTION rtb_check_cap(the_account bigint, more bigint, placed bigint DEFAULT 0)
RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    has record;
BEGIN
    SELECT a.cap, coalesce(c.waiting + c.sent + c.queued + c.processing, 0) + more AS open,
           coalesce(c.waiting + c.sent + c.queued + c.processing, 0) - placed AS had
      INTO has
      FROM accounts a LEFT JOIN counters c ON c.kind = 'account' AND c.id = a.id
     WHERE a.id = the_account;
    IF has.open > has.cap THEN
        RAISE EXCEPTION 'the account would have more open units than its cap'
            USING ERRCODE = 'RT429', DETAIL = json_build_object(
                'cap', has.cap, 'remaining', greatest(has.cap - has.had, 0))::text;
    END IF;
END $$;

-- Refuses a key that is in use, with what to answer.
CREATE FUNCTION rtb_check_key(the_key text, the_fingerprint text) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    known idempotency_keys;
BEGIN
    SELECT * INTO known FROM idempotency_keys WHERE key = the_key;
    IF known.key IS NULL THEN
        RETURN;
    ELSIF known.fingerprint = the_fingerprint THEN
        RAISE EXCEPTION 'placed before' USING ERRCODE = 'RT200', DETAIL = known.answer;
    END IF;
    RAISE EXCEPTION 'another order was placed with that key' USING ERRCODE = 'RT422';
END $$;

-- Refuses a key that was used, or that somebody else uses at this moment.
CREATE FUNCTION rtb_take_key(the_key text, the_fingerprint text) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    IF the_key IS NULL THEN
        RETURN;
    ELSIF NOT pg_try_advisory_xact_lock(x'52544204'::int, hashtext(the_key)) THEN
        RAISE EXCEPTION 'an order with that key is being placed' USING ERRCODE = 'RT409';
    END IF;
    PERFORM rtb_check_key(the_key, the_fingerprint);
END $$;

-- Ends the placing of an order whose units are booked; returns its answer.
CREATE FUNCTION rtb_conclude_placing(
    the_key text, the_fingerprint text, the_order bigint, more jsonb DEFAULT '{}')
RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    answer text;
BEGIN
    PERFORM rtb_check_cap(o.account_id, 0, c.waiting)
       FROM orders o JOIN counters c ON c.kind = 'order' AND c.id = o.id WHERE o.id = the_order;
    SELECT (jsonb_build_object('id', the_order, 'units', c.waiting, 'going', g.going) || more)::text
      INTO answer FROM counters c, gate g WHERE c.kind = 'order' AND c.id = the_order;
    IF the_key IS NOT NULL THEN
        INSERT INTO idempotency_keys (key, fingerprint, answer)
        VALUES (the_key, the_fingerprint, answer);
    END IF;
    RETURN answer;
END $$;

-- Makes a loaded order visible.
CREATE FUNCTION rtb_open_order(the_order bigint) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    the_account bigint := (SELECT account_id FROM orders WHERE id = the_order);
    loaded bigint;
BEGIN
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
CREATE FUNCTION rtb_pick(room bigint, kinds text[])
RETURNS TABLE (rank bigint, account_id bigint, order_id bigint, unit_id bigint)
LANGUAGE plpgsql STABLE ROWS 50 AS $$
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
), places AS MATERIALIZED (
    SELECT h.account_id, i, row_number() OVER (
               ORDER BY (h.flying + i) / h.weight, h.served, h.account_id) AS rank
      FROM heads h, last, generate_series(
               1, least(h.ready, room, (ceil(last.key * h.weight) - h.flying + 1)::bigint)) i
     ORDER BY rank
     LIMIT room
), quotas AS MATERIALIZED (
    SELECT p.account_id, count(*) AS n FROM places p GROUP BY p.account_id
), lines AS MATERIALIZED (
    SELECT q.account_id, q.n, o.id, o.priority, c.ready,
           (sum(c.ready) OVER (PARTITION BY q.account_id ORDER BY o.priority DESC, o.id))::bigint
               - c.ready AS earlier
      FROM quotas q, unnest(kinds) w, LATERAL (
          SELECT o.id, o.priority FROM orders o
           WHERE o.account_id = q.account_id AND o.workload = w AND o.ready
           ORDER BY o.priority DESC, o.id
           LIMIT q.n) o, LATERAL (
          SELECT c.ready FROM counters c WHERE c.kind = 'order' AND c.id = o.id OFFSET 0) c
)
SELECT p.rank, l.account_id, l.id, u.id
  FROM lines l
 CROSS JOIN LATERAL (
      SELECT r.id, row_number() OVER (ORDER BY r.priority DESC, r.id) AS i FROM (
          SELECT r.id, r.priority FROM units r
           WHERE r.line = l.id
           ORDER BY r.priority DESC, r.id
           LIMIT least(l.ready, l.n - l.earlier)) r) u
  JOIN places p ON p.account_id = l.account_id AND p.i = l.earlier + u.i
 WHERE l.earlier < l.n
 ORDER BY p.rank;
END $$;
