-- Stops the schedules of a space, by executables_by_space and schedules_by_executable: the index of fire
-- times would lead past those of all other spaces.
UPDATE schedules
   SET next_fire_time = NULL
 WHERE executable_id IN (SELECT id FROM executables WHERE space_guid = :space_guid AND deleted_at IS NULL)
   AND +next_fire_time IS NOT NULL;
