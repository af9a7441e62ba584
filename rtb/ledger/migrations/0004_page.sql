-- What people look at: the newest events first, orders by how they are, and a trace of the past day.

CREATE INDEX events_by_id ON events (id);
CREATE INDEX events_errors ON events (id) WHERE kind = 'error';
CREATE INDEX orders_open ON orders (id) WHERE finished_at IS NULL;
CREATE INDEX orders_finished ON orders (finished_at) WHERE finished_at IS NOT NULL;

-- The counts, now and then: what lies between two rows is what was done meanwhile. Written only
-- while something changes, so a gap means that nothing did.
CREATE TABLE samples (
    at timestamptz PRIMARY KEY,  -- the beginning of 5 s
    waiting bigint NOT NULL,
    held bigint NOT NULL,        -- sent and queued
    processing bigint NOT NULL,
    success bigint NOT NULL,
    error bigint NOT NULL,
    cancelled bigint NOT NULL,
    fill real NOT NULL           -- of all job trackers together, 0 to 1
);
