-- The PENDING executions of a space's schedules, by executables_by_space and executions_pending. Those started by hand are left out.
SELECT e.id, e.guid, e.kind, e.request_id
  FROM executables AS x CROSS JOIN executions AS e
 WHERE e.executable_id = x.id AND e.state = 'PENDING' AND e.schedule_id IS NOT NULL
   AND x.space_guid = :space_guid AND x.deleted_at IS NULL
-- Locked, so that none begins before it is cancelled.
--pg FOR UPDATE OF e
;
