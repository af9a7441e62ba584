-- name: lock_schema
-- One process at a time migrates; the others wait for it.
SELECT pg_advisory_lock(%(lock)s);

-- name: unlock_schema
SELECT pg_advisory_unlock(%(lock)s);

-- name: applied_migrations
CREATE TABLE IF NOT EXISTS migrations (
    name text PRIMARY KEY,
    sha256 text NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT now()
);
SELECT name, sha256 FROM migrations;

-- name: has_migrations
SELECT to_regclass('migrations') IS NOT NULL;

-- name: known_migrations
SELECT name, sha256 FROM migrations;

-- name: note_migration
INSERT INTO migrations (name, sha256) VALUES (%(name)s, %(sha256)s);

-- name: set_up
-- The rows that a ledger always has, and rtb.model.lifecycle.MOVES as a table.
INSERT INTO gate (ledger_id) VALUES (%(ledger)s) ON CONFLICT DO NOTHING;
INSERT INTO epochs DEFAULT VALUES ON CONFLICT DO NOTHING;
DELETE FROM lifecycle l
 WHERE NOT EXISTS (
    SELECT FROM unnest(%(status)s::unit_status[], %(kind)s::event_kind[]) AS m (status, kind)
     WHERE (m.status, m.kind) = (l.status, l.kind));
INSERT INTO lifecycle AS l (status, kind, next, closing)
SELECT * FROM unnest(
    %(status)s::unit_status[], %(kind)s::event_kind[], %(next)s::unit_status[],
    %(closing)s::boolean[])
ON CONFLICT (status, kind) DO UPDATE SET next = EXCLUDED.next, closing = EXCLUDED.closing
 WHERE (l.next, l.closing) IS DISTINCT FROM (EXCLUDED.next, EXCLUDED.closing);
