-- Started by hand. No row: the executable was deleted meanwhile, which the lock waits for. It waits for no
-- other change of the executable, such as that of a job's state.
INSERT INTO executions (guid, executable_id, kind, state, asked_at, created_at, dispatch_time, request_id)
SELECT :guid, id, kind, 'PENDING', :now, :now, :now, :request_id
  FROM executables
 WHERE id = :executable_id AND deleted_at IS NULL
   FOR KEY SHARE
RETURNING id;
