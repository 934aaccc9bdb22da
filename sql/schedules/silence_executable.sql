-- A deleted executable no longer fires.
UPDATE schedules SET next_fire_time = NULL WHERE executable_id = :executable_id
   AND next_fire_time IS NOT NULL;
