-- An execution started by hand. No row: the executable was deleted meanwhile.
INSERT INTO executions (guid, executable_id, kind, state, asked_at, created_at, dispatch_time, request_id,
                        requested_by, share)
SELECT :guid, id, kind, 'PENDING', :now, :now, :now, :request_id, :requested_by, share
  FROM executables
 WHERE id = :executable_id AND deleted_at IS NULL
RETURNING id;
