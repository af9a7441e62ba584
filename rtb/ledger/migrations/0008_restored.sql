-- PostgreSQL may be restored to an earlier state. Whoever notices that says so here, and nothing is
-- claimed until `rtb ledger renew` has given the ledger a new id and a new range of attempts.
ALTER TABLE gate
    ADD COLUMN restored_at timestamptz,
    -- Every attempt opened from now on has a higher number.
    ADD COLUMN attempts_from integer NOT NULL DEFAULT 0;
