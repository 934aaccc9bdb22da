-- No row: the executable was deleted meanwhile, which the lock waits for.
INSERT INTO schedules (guid, executable_id, enabled, expression, next_fire_time, planned_at, created_at, updated_at)
SELECT :guid, id, :enabled, :expression, :next_fire_time, :now, :now, :now
  FROM executables
 WHERE id = :executable_id AND deleted_at IS NULL
   FOR SHARE
RETURNING id;
