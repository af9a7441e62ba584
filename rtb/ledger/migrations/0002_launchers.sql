-- What a leader's launcher does, and where its agents run.

ALTER TABLE boxes ADD COLUMN launcher json;
ALTER TABLE agents
    ADD COLUMN container text NOT NULL DEFAULT '',
    ADD COLUMN log text NOT NULL DEFAULT '';
