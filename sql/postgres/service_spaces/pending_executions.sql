-- What the schedules of a space have waiting, by executables_by_space and executions_pending. What was started by hand is not.
-- The lock keeps it waiting until it is cancelled.
SELECT e.id, e.guid, e.kind, e.request_id
  FROM executables AS x CROSS JOIN executions AS e
 WHERE e.executable_id = x.id AND e.state = 'PENDING' AND e.schedule_id IS NOT NULL
   AND x.space_guid = :space_guid AND x.deleted_at IS NULL
   FOR UPDATE OF e;
