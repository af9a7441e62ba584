-- The books: accounts, orders, units, what is in flight, what happened, and exact counters.

CREATE TYPE unit_status AS ENUM (
    'waiting',     -- in the ledger only
    'sent',        -- claimed for a box, nobody has vouched for it yet
    'queued',      -- in the leader's job tracker, or handed out and not known to have started
    'processing',  -- an agent runs it
    'success', 'error', 'cancelled'  -- outcomes
);
CREATE TYPE event_kind AS ENUM (
    'claimed', 'queued', 'processing', 'success', 'error', 'failed',
    'returned', 'lost', 'rescued', 'cancelled', 'retried'
);
CREATE TYPE counter_kind AS ENUM ('account', 'box', 'order', 'total');

-- rtb.model.lifecycle.MOVES, copied here at every migration; guards each move.
CREATE TABLE lifecycle (
    status unit_status NOT NULL,
    kind event_kind NOT NULL,
    next unit_status NOT NULL,
    closing boolean NOT NULL,
    PRIMARY KEY (status, kind)
);

-- The one row that every claim locks first, so that N and fair use are exact across all boxes.
CREATE TABLE gate (
    one boolean PRIMARY KEY DEFAULT true CHECK (one),
    ledger_id text NOT NULL,
    going boolean NOT NULL DEFAULT false,
    claims bigint NOT NULL DEFAULT 0,  -- numbers the claims; says who was served longest ago
    seeded_at timestamptz
);

-- Time, counted in barriers. Apart from the gate: reports read it at every flush.
CREATE TABLE epochs (
    one boolean PRIMARY KEY DEFAULT true CHECK (one),
    epoch bigint NOT NULL DEFAULT 1
);

CREATE TABLE accounts (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name text NOT NULL UNIQUE,
    weight double precision NOT NULL DEFAULT 1 CHECK (weight > 0),
    created_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE orders (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    account_id bigint NOT NULL REFERENCES accounts,
    name text NOT NULL DEFAULT '',
    workload text NOT NULL,
    priority integer NOT NULL DEFAULT 0,  -- inside the account; higher goes first
    max_failures integer NOT NULL DEFAULT 3 CHECK (max_failures > 0),
    time_limit double precision CHECK (time_limit > 0),  -- seconds a unit may run
    created_at timestamptz NOT NULL DEFAULT now(),
    finished_at timestamptz  -- when its last unit settled
);
-- The pick walks an account's unfinished orders in this order.
CREATE INDEX orders_unfinished ON orders (account_id, priority DESC, id) WHERE finished_at IS NULL;

-- No foreign keys from here on: these rows move by the thousand and only rtb's own statements
-- write them.
CREATE TABLE units (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    order_id bigint NOT NULL,
    not_before timestamptz,  -- a retry waits until then, outside the hot index
    held_at timestamptz,     -- a person holds it, outside the hot index
    status unit_status NOT NULL DEFAULT 'waiting',
    attempt integer NOT NULL DEFAULT 0,  -- the last one given out; never given out again
    active integer,                      -- the open attempt
    round integer NOT NULL DEFAULT 1,
    box_id integer,                      -- while in flight
    failures smallint NOT NULL DEFAULT 0,
    losses smallint NOT NULL DEFAULT 0,
    -- Waiting and claimable now. A column of its own, and the only one the hot index looks at, so
    -- that sent -> queued -> processing -> outcome stay heap-only updates.
    ready boolean NOT NULL DEFAULT true,
    -- Its order while it is ready. The pick asks for this, so that no other index can serve it: the
    -- one by order would lead it past every unit that was ever claimed.
    line bigint GENERATED ALWAYS AS (CASE WHEN ready THEN order_id END) STORED,
    name text NOT NULL,
    payload json,
    result json,
    error text,
    UNIQUE (order_id, name),
    CHECK ((active IS NOT NULL) = (status IN ('sent', 'queued', 'processing'))),
    CHECK (NOT ready OR (status = 'waiting' AND not_before IS NULL AND held_at IS NULL))
) WITH (fillfactor = 70);
CREATE INDEX units_ready ON units (line, id) WHERE line IS NOT NULL;
CREATE INDEX units_by_order ON units (order_id, id);
CREATE INDEX units_delayed ON units (not_before) WHERE not_before IS NOT NULL;

-- One row per open attempt: who claimed it, who holds it, when it was last vouched for.
CREATE TABLE flights (
    unit_id bigint PRIMARY KEY,
    attempt integer NOT NULL,
    box_id integer NOT NULL,
    api integer NOT NULL,  -- key of the advisory lock that the claiming API holds while it lives
    holder text,           -- incarnation of the leader that vouched for it
    seen bigint NOT NULL   -- the epoch in which somebody last vouched for it
) WITH (fillfactor = 50);

-- What happened, applied only; never changed afterwards.
CREATE TABLE events (
    id bigint GENERATED ALWAYS AS IDENTITY,
    unit_id bigint NOT NULL,
    at timestamptz NOT NULL DEFAULT now(),
    round integer NOT NULL,
    attempt integer NOT NULL,
    kind event_kind NOT NULL,
    who text NOT NULL DEFAULT '',
    ran double precision,  -- seconds
    detail json            -- {"why": ..., "output": ...}
);
CREATE INDEX events_by_unit ON events (unit_id, id);
-- One outcome per unit and round: the database itself refuses a second one.
CREATE UNIQUE INDEX events_outcome ON events (unit_id, round)
    WHERE kind IN ('success', 'error', 'cancelled');

CREATE TABLE boxes (
    id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name text NOT NULL UNIQUE,
    leader text NOT NULL,  -- the incarnation whose reports count
    capacity integer NOT NULL,
    queued integer NOT NULL DEFAULT 0,
    utilization double precision NOT NULL DEFAULT 0,
    slots integer NOT NULL DEFAULT 0,
    busy integer NOT NULL DEFAULT 0,
    workloads text[] NOT NULL DEFAULT '{}',
    seen bigint NOT NULL,  -- epoch of the last report; an old one when its leader said goodbye
    manned bigint NOT NULL,  -- epoch of the last report that showed a slot
    reported_at timestamptz NOT NULL DEFAULT now()
);
-- Every life of a leader of a box: one never seen becomes current, a superseded one never again.
CREATE TABLE incarnations (
    incarnation text PRIMARY KEY,
    box_id integer NOT NULL REFERENCES boxes ON DELETE CASCADE,
    began_at timestamptz NOT NULL DEFAULT now()
);
CREATE TABLE agents (
    incarnation text PRIMARY KEY,
    box_id integer NOT NULL REFERENCES boxes ON DELETE CASCADE,
    name text NOT NULL,
    host text NOT NULL,
    presence text NOT NULL,
    slots integer NOT NULL,
    busy integer NOT NULL,
    workloads text[] NOT NULL,
    draining boolean NOT NULL DEFAULT false,  -- a person asked it to
    seen_at timestamptz NOT NULL DEFAULT now()
);

-- A box is active while its leader reports; it is recalled, and asked to give back what has not
-- started, when it has had no agent for three epochs while another has free slots for its work.
CREATE VIEW box_states AS
SELECT b.id, b.seen >= e.epoch - 2 AS active,
       b.manned < e.epoch - 3 AND EXISTS (
           SELECT FROM boxes o
            WHERE o.id <> b.id AND o.seen >= e.epoch - 2 AND o.slots > o.busy + o.queued
              AND o.workloads && b.workloads) AS recalled
  FROM boxes b CROSS JOIN epochs e;

-- Exact counts, by status; locked in the order (kind, id), always after the units.
CREATE TABLE counters (
    kind counter_kind NOT NULL,
    id bigint NOT NULL,
    waiting bigint NOT NULL DEFAULT 0,
    sent bigint NOT NULL DEFAULT 0,
    queued bigint NOT NULL DEFAULT 0,
    processing bigint NOT NULL DEFAULT 0,
    success bigint NOT NULL DEFAULT 0,
    error bigint NOT NULL DEFAULT 0,
    cancelled bigint NOT NULL DEFAULT 0,
    PRIMARY KEY (kind, id)
) WITH (fillfactor = 50);
INSERT INTO counters (kind, id) VALUES ('total', 0);

-- What the pick reads: how many ready units an account has for a workload, beside how many of its
-- units are in flight in all, so that the first D accounts in fair order are the first D rows.
CREATE TABLE shares (
    account_id bigint NOT NULL,
    workload text NOT NULL,
    ready bigint NOT NULL DEFAULT 0,
    flying bigint NOT NULL DEFAULT 0,
    weight double precision NOT NULL,
    served bigint NOT NULL DEFAULT 0,  -- the last claim that took from the account
    next_key double precision GENERATED ALWAYS AS ((flying + 1) / weight) STORED,
    PRIMARY KEY (account_id, workload)
) WITH (fillfactor = 50);
CREATE INDEX shares_fair ON shares (workload, next_key, served, account_id) WHERE ready > 0;

-- Books of moved units: how many more (or fewer) there are of each kind.
CREATE TYPE unit_delta AS (
    order_id bigint, box_id integer, status unit_status, ready boolean, n bigint
);

-- Keeps counters, shares and orders.finished_at exact, in the moving transaction. Units are locked
-- by now; the counters follow in the order (kind, id). Whoever writes a share or finishes an order
-- holds the counter of its account or order, so those need no order of their own.
CREATE FUNCTION rtb_book(deltas unit_delta[]) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    touched_accounts bigint[];
    touched_orders bigint[];
BEGIN
    INSERT INTO counters AS c
        (kind, id, waiting, sent, queued, processing, success, error, cancelled)
    SELECT kind, id,
           coalesce(sum(n) FILTER (WHERE status = 'waiting'), 0),
           coalesce(sum(n) FILTER (WHERE status = 'sent'), 0),
           coalesce(sum(n) FILTER (WHERE status = 'queued'), 0),
           coalesce(sum(n) FILTER (WHERE status = 'processing'), 0),
           coalesce(sum(n) FILTER (WHERE status = 'success'), 0),
           coalesce(sum(n) FILTER (WHERE status = 'error'), 0),
           coalesce(sum(n) FILTER (WHERE status = 'cancelled'), 0)
      FROM (
          SELECT 'account'::counter_kind AS kind, o.account_id AS id, d.status, d.n
            FROM unnest(deltas) d JOIN orders o ON o.id = d.order_id
          UNION ALL
          SELECT 'box', d.box_id, d.status, d.n FROM unnest(deltas) d WHERE d.box_id IS NOT NULL
          UNION ALL
          SELECT 'order', d.order_id, d.status, d.n FROM unnest(deltas) d
          UNION ALL
          SELECT 'total', 0, d.status, d.n FROM unnest(deltas) d
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
        cancelled = c.cancelled + EXCLUDED.cancelled;

    SELECT array_agg(DISTINCT o.account_id), array_agg(DISTINCT o.id)
      INTO touched_accounts, touched_orders
      FROM unnest(deltas) d JOIN orders o ON o.id = d.order_id;

    -- All shares of an account say the same of it, also one that begins later than the others.
    INSERT INTO shares AS s (account_id, workload, ready, weight, served)
    SELECT o.account_id, o.workload,
           coalesce(sum(d.n) FILTER (WHERE d.ready), 0), min(a.weight),
           coalesce((SELECT max(x.served) FROM shares x WHERE x.account_id = o.account_id), 0)
      FROM unnest(deltas) d
      JOIN orders o ON o.id = d.order_id
      JOIN accounts a ON a.id = o.account_id
     GROUP BY o.account_id, o.workload
    ON CONFLICT (account_id, workload) DO UPDATE SET ready = s.ready + EXCLUDED.ready;

    UPDATE shares s
       SET flying = c.sent + c.queued + c.processing,
           served = CASE WHEN s.account_id = ANY (claimed.accounts) THEN g.claims
                         ELSE s.served END
      FROM counters c, gate g, (
          SELECT array_agg(o.account_id) AS accounts
            FROM unnest(deltas) d JOIN orders o ON o.id = d.order_id
           WHERE d.status = 'sent' AND d.n > 0
      ) claimed
     WHERE s.account_id = ANY (touched_accounts)
       AND c.kind = 'account' AND c.id = s.account_id;

    UPDATE orders o
       SET finished_at = CASE WHEN o.finished_at IS NULL THEN now() END
      FROM counters c
     WHERE o.id = ANY (touched_orders) AND c.kind = 'order' AND c.id = o.id
       AND (o.finished_at IS NULL) = (c.waiting + c.sent + c.queued + c.processing = 0);
END $$;

CREATE FUNCTION rtb_units_placed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM rtb_book(ARRAY(
        SELECT ROW(order_id, box_id, status, ready, count(*))::unit_delta
          FROM fresh GROUP BY order_id, box_id, status, ready));
    RETURN NULL;
END $$;

-- The old status comes from the rows that were really replaced, never from a self-join: two
-- overlapping flushes cannot leave a counter wrong.
CREATE FUNCTION rtb_units_moved() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM rtb_book(ARRAY(
        SELECT ROW(order_id, box_id, status, ready, sum(n))::unit_delta
          FROM (SELECT order_id, box_id, status, ready, 1 AS n FROM fresh
                UNION ALL
                SELECT order_id, box_id, status, ready, -1 FROM former) moved
         GROUP BY order_id, box_id, status, ready HAVING sum(n) <> 0));
    RETURN NULL;
END $$;

CREATE TRIGGER units_placed AFTER INSERT ON units
    REFERENCING NEW TABLE AS fresh
    FOR EACH STATEMENT EXECUTE FUNCTION rtb_units_placed();
CREATE TRIGGER units_moved AFTER UPDATE ON units
    REFERENCING NEW TABLE AS fresh OLD TABLE AS former
    FOR EACH STATEMENT EXECUTE FUNCTION rtb_units_moved();
