-- What is run a thousand times a second costs the same, whatever the planner knew when it planned.

-- The pick: the :room units that go next over :kinds of work, in fair order. The first accounts in
-- fair order are the first rows of an index; of each, its first orders with ready units; of those,
-- exactly as many units as the account gets. It opens at most :room accounts, orders and units.
-- In PL/pgSQL, because that keeps the plan: planning takes longer than picking.
CREATE OR REPLACE FUNCTION rtb_pick(room bigint, kinds text[])
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
), taken AS MATERIALIZED (
    -- Apart from the places: joined in one go, the planner may walk an order's units for each place.
    SELECT l.account_id, l.id AS order_id, u.id AS unit_id,
           l.earlier + row_number() OVER (PARTITION BY l.id ORDER BY u.priority DESC, u.id) AS i
      FROM lines l
     CROSS JOIN LATERAL (
          SELECT r.id, r.priority FROM units r
           WHERE r.line = l.id
           ORDER BY r.priority DESC, r.id
           LIMIT least(l.ready, l.n - l.earlier)) u
     WHERE l.earlier < l.n
)
SELECT p.rank, t.account_id, t.order_id, t.unit_id
  FROM taken t
  JOIN places p ON p.account_id = t.account_id AND p.i = t.i
 ORDER BY p.rank;
END $$;
