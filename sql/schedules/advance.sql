-- Guarded by the fire time that is claimed: no row changes if it was claimed already or the schedule was
-- changed. Nor if its job, call or space was paused or resumed since the fire time was planned; the next pass
-- plans again.
UPDATE schedules
   SET next_fire_time = :next_fire_time, planned_at = :now,
       completed_at = CASE WHEN :next_fire_time IS NULL THEN :now END,
       last_fire_time = CASE WHEN last_fire_time >= :served THEN last_fire_time
                             ELSE COALESCE(:served, last_fire_time) END
 WHERE id = :id AND next_fire_time = :claimed
   AND (SELECT CASE WHEN x.paused OR EXISTS (SELECT 1
                                              FROM space_pauses AS p
                                             WHERE p.space_guid = x.space_guid AND p.is_paused
                                               AND COALESCE(p.paused_until > :now, TRUE))
                    THEN TRUE ELSE FALSE END
          FROM executables AS x
         WHERE x.id = executable_id) = :paused;
