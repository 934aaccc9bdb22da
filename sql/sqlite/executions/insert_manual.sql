-- Started by hand. No row: the executable was deleted meanwhile.
INSERT INTO executions (guid, executable_id, state, created_at, dispatch_time)
SELECT :guid, id, 'PENDING', :now, :now
  FROM executables
 WHERE id = :executable_id AND deleted_at IS NULL;
