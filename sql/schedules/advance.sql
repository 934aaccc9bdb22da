-- Guarded by the fire time that is claimed: whoever claims second, or finds the schedule changed, changes no row.
UPDATE schedules
   SET next_fire_time = :next_fire_time, planned_at = :now
 WHERE id = :id AND next_fire_time = :claimed;
