-- name: lock_gate
-- Comes first in a transaction that claims: a snapshot taken before the lock was got would count
-- from before a competitor's claim. Where there is nothing to claim it writes nothing, so that
-- looking costs neither a lock nor a commit; who frees or places more looks again after it. Places
-- that this very transaction frees (:freeing), and units that it places (:placing), cannot be seen yet.
UPDATE gate SET claims = claims + 1
 WHERE one AND going AND restored_at IS NULL
   AND CASE WHEN %(freeing)s::boolean THEN EXISTS (SELECT FROM shares WHERE ready > 0)
       ELSE EXISTS (
           SELECT FROM boxes b
             JOIN box_states s USING (id)
             LEFT JOIN counters c ON c.kind = 'box' AND c.id = b.id
            WHERE s.active AND NOT s.recalled AND b.capacity > coalesce(c.sent + c.queued, 0)
              AND (%(placing)s::boolean OR EXISTS (
                  SELECT FROM shares WHERE workload = ANY (b.workloads) AND ready > 0))) END;

-- name: claim
-- Up to :most attempts for a box (:box, or the one with the most room), by fair use. A round trip
-- brings back one result: the first row has what `apply` or `place` left, where it came before.
-- Without the gate there is nothing to look for.
SELECT NULL::bigint, NULL::integer, NULL::bigint, NULL::text,
       current_setting('rtb.answer', true), NULL::smallint
UNION ALL
SELECT * FROM rtb_claim(%(box)s::text, %(most)s::integer, %(api)s::integer)
 WHERE (SELECT xmin = pg_current_xact_id_if_assigned()::xid FROM gate);
