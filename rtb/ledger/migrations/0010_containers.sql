-- Which container an agent ran in, kept when it has gone: a unit's history leads to the log.

CREATE TABLE containers (
    incarnation text PRIMARY KEY,  -- of the agent
    container text NOT NULL,
    log text NOT NULL              -- where to read what it printed; empty where nobody knows
);
INSERT INTO containers SELECT incarnation, container, log FROM agents WHERE container <> '';
