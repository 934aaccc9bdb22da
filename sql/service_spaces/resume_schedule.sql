-- Fires from now on; fire times missed meanwhile are not made up for.
UPDATE schedules
   SET next_fire_time = :next_fire_time, planned_at = :now,
       last_fire_time = CASE WHEN last_fire_time >= CAST(:now AS BIGINT) THEN last_fire_time ELSE :now END
 WHERE id = :id;
