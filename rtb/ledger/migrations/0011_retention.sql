-- Old work goes: an order's units and history, never its row nor its counters.

-- Its units go, or are gone, for good. From the moment that it stands here nobody looks for them.
ALTER TYPE order_state ADD VALUE 'pruned';

-- What the counters still count and count(*) does not find any more. Written by the transaction
-- that deletes, so that counter = count(*) + what is here, at every commit.
CREATE TABLE pruned (
    order_id bigint PRIMARY KEY,
    success bigint NOT NULL DEFAULT 0,
    error bigint NOT NULL DEFAULT 0,
    cancelled bigint NOT NULL DEFAULT 0,
    position bigint NOT NULL DEFAULT 0,  -- all units up to this one are gone
    began_at timestamptz NOT NULL DEFAULT now(),
    ended_at timestamptz                 -- null: whoever prunes next goes on with it
) WITH (fillfactor = 50);
CREATE INDEX pruned_under_way ON pruned (order_id) WHERE ended_at IS NULL;

-- Without those that are pruned, or the oldest of what is left would be found behind all of them.
CREATE INDEX orders_prunable ON orders (finished_at)
    WHERE finished_at IS NOT NULL AND state = 'open';
