-- Advances several schedules, each guarded by the fire time that is claimed: no row if it was claimed already
-- or the schedule was changed. Also no row if its job, call or space was paused or resumed since the fire
-- time was planned; the next pass plans again.
WITH given AS MATERIALIZED (
         SELECT *
           FROM json_to_recordset(CAST(:rows AS JSON))
             AS r (n BIGINT, id BIGINT, claimed BIGINT, next_fire_time BIGINT, now BIGINT, served BIGINT,
                   paused BOOLEAN))
UPDATE schedules AS s
   SET next_fire_time = g.next_fire_time, planned_at = g.now,
       completed_at = CASE WHEN g.next_fire_time IS NULL THEN g.now END,
       last_fire_time = CASE WHEN s.last_fire_time >= g.served THEN s.last_fire_time
                             ELSE COALESCE(g.served, s.last_fire_time) END
  FROM given AS g
 WHERE s.id = g.id AND s.next_fire_time = g.claimed
   AND (SELECT x.paused OR EXISTS (SELECT 1
                                     FROM space_pauses AS p
                                    WHERE p.space_guid = x.space_guid AND p.is_paused
                                      AND COALESCE(p.paused_until > g.now, TRUE))
          FROM executables AS x
         WHERE x.id = s.executable_id) = g.paused
RETURNING g.n;
