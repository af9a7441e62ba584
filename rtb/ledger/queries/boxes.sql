-- name: adopt
-- A leader's incarnation that was never seen becomes the box's current one.
WITH box AS (
    INSERT INTO boxes AS b (name, leader, capacity, seen, manned)
    SELECT %(box)s, %(leader)s, %(capacity)s, epoch, epoch FROM epochs
    ON CONFLICT (name) DO UPDATE SET
        leader = CASE WHEN EXISTS (SELECT FROM incarnations WHERE incarnation = EXCLUDED.leader)
                      THEN b.leader ELSE EXCLUDED.leader END
    RETURNING id, leader
), known AS (
    INSERT INTO incarnations (incarnation, box_id)
    SELECT %(leader)s, id FROM box
    ON CONFLICT DO NOTHING
)
SELECT leader FROM box;

-- name: report
UPDATE boxes b
   SET capacity = %(capacity)s::integer, queued = %(queued)s::integer,
       utilization = %(utilization)s::float8,
       slots = %(slots)s::integer, busy = %(busy)s::integer, workloads = %(workloads)s::text[],
       launcher = %(launcher)s::json,
       -- A leader that still speaks of another ledger would drop what is claimed for it.
       seen = CASE WHEN %(ledger)s::text IN ('', g.ledger_id)
                   THEN e.epoch - CASE WHEN %(gone)s::boolean THEN 3 ELSE 0 END
                   ELSE b.seen END,
       reported_at = now(),
       manned = CASE WHEN %(slots)s::integer > 0 THEN e.epoch ELSE b.manned END
  FROM epochs e CROSS JOIN gate g
 WHERE b.name = %(box)s::text AND b.leader = %(leader)s::text
RETURNING b.id;

-- name: enroll
-- The agents of a box, as its leader's report shows them; who is not in it has gone.
WITH box AS (
    SELECT id FROM boxes WHERE name = %(box)s AND leader = %(leader)s
), shown AS (
    SELECT * FROM unnest(
        %(agent)s::text[], %(name)s::text[], %(host)s::text[], %(presence)s::text[],
        %(slots)s::integer[], %(busy)s::integer[], %(silent)s::float8[], %(workloads)s::text[],
        %(container)s::text[], %(log)s::text[])
        AS a (agent, name, host, presence, slots, busy, silent, workloads, container, log)
), gone AS (
    DELETE FROM agents USING box
     WHERE box_id = box.id AND incarnation <> ALL (%(agent)s::text[])
), placed AS (
    -- Once per agent; again where its log was not known yet.
    INSERT INTO containers (incarnation, container, log)
    SELECT s.agent, s.container, s.log
      FROM box, shown s LEFT JOIN agents known ON known.incarnation = s.agent
     WHERE s.container <> '' AND s.log IS DISTINCT FROM known.log
    ON CONFLICT (incarnation) DO UPDATE SET log = EXCLUDED.log
)
INSERT INTO agents AS a
    (incarnation, box_id, name, host, presence, slots, busy, workloads, seen_at, container, log)
SELECT agent, box.id, name, host, presence, slots, busy, string_to_array(workloads, ' '),
       now() - make_interval(secs => silent), container, log
  FROM shown, box
ON CONFLICT (incarnation) DO UPDATE SET
    box_id = EXCLUDED.box_id, presence = EXCLUDED.presence, slots = EXCLUDED.slots,
    busy = EXCLUDED.busy, workloads = EXCLUDED.workloads, seen_at = EXCLUDED.seen_at,
    log = EXCLUDED.log;

-- name: control
-- What a box's leader and agents need to know.
SELECT g.ledger_id, b.leader, g.going,
       (SELECT coalesce(json_object_agg(workload, ready), '{}')
          FROM (SELECT workload, sum(ready) AS ready FROM shares
                 WHERE ready > 0 GROUP BY workload) w),
       (SELECT coalesce(json_object_agg(a.name, a.weight), '{}')
          FROM (SELECT DISTINCT o.account_id
                  FROM flights f
                  JOIN units u ON u.id BETWEEN f.unit_id AND f.unit_id
                  JOIN orders o ON o.id = u.order_id
                 WHERE f.box_id = b.id) held
          JOIN accounts a ON a.id = held.account_id),
       ARRAY(SELECT incarnation FROM agents WHERE box_id = b.id AND draining),
       s.recalled
  FROM boxes b JOIN box_states s USING (id) CROSS JOIN gate g
 WHERE b.name = %(box)s;

-- name: box_names
SELECT name FROM boxes ORDER BY name;

-- name: forget_box
WITH box AS (
    SELECT b.id, s.active OR EXISTS (SELECT FROM flights f WHERE f.box_id = b.id) AS in_use
      FROM boxes b JOIN box_states s USING (id) WHERE b.name = %(box)s
), forgotten AS (
    DELETE FROM boxes USING box WHERE boxes.id = box.id AND NOT box.in_use
)
SELECT in_use FROM box;

-- name: drain_agent
UPDATE agents a SET draining = true FROM boxes b
 WHERE a.incarnation = %(agent)s AND b.id = a.box_id RETURNING b.name;
