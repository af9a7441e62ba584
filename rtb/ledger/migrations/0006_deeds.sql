-- What people did to orders and units, for whoever reads their history: one row per verb. A unit
-- has rows of its own only where a filter chose it, since such a verb need not touch the next one;
-- what is done to a whole order is told of each unit that was open then without a row for it.
CREATE TABLE deeds (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    order_id bigint NOT NULL,
    at timestamptz NOT NULL DEFAULT now(),
    verb text NOT NULL CHECK (verb IN ('cancel', 'hold', 'release', 'retry', 'priority')),
    whole boolean NOT NULL,  -- of the order itself, not of units by filter
    statuses unit_status[] NOT NULL DEFAULT '{}',
    prefix text,
    why text NOT NULL DEFAULT '',
    priority integer,
    units bigint NOT NULL  -- how many it concerned
);
CREATE INDEX deeds_by_order ON deeds (order_id, id);
CREATE TABLE deeds_of_units (
    unit_id bigint NOT NULL,
    deed_id bigint NOT NULL,
    at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (unit_id, deed_id)
);
ALTER TABLE errands ADD COLUMN deed_id bigint;  -- null: from before there were deeds
