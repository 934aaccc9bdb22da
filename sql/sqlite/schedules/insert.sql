-- No row: the executable was deleted meanwhile.
INSERT INTO schedules (guid, executable_id, enabled, expression, next_fire_time, created_at, updated_at)
SELECT :guid, id, :enabled, :expression, :next_fire_time, :now, :now
  FROM executables
 WHERE id = :executable_id AND deleted_at IS NULL;
