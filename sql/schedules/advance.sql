-- Guarded by the fire time that is claimed: a second claim, or one of a schedule that was changed, changes no
-- row.
UPDATE schedules
   SET next_fire_time = :next_fire_time, planned_at = :now,
       completed_at = CASE WHEN CAST(:next_fire_time AS BIGINT) IS NULL THEN CAST(:now AS BIGINT) END,
       last_fire_time = CASE WHEN last_fire_time >= CAST(:served AS BIGINT) THEN last_fire_time
                             ELSE COALESCE(CAST(:served AS BIGINT), last_fire_time) END
 WHERE id = :id AND next_fire_time = :claimed;
