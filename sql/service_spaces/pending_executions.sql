-- The PENDING executions of a space's schedules, by executables_by_space and executions_pending: as an array the executables are a
-- condition on that index, which is read whole otherwise. Those started by hand are left out.
SELECT id, guid, kind, request_id
  FROM executions
 WHERE executable_id IN (SELECT id FROM executables WHERE space_guid = :space_guid AND deleted_at IS NULL) --sqlite
--pg WHERE executable_id = ANY (ARRAY (SELECT id FROM executables WHERE space_guid = :space_guid AND deleted_at IS NULL))
   AND state = 'PENDING' AND schedule_id IS NOT NULL
-- Locked, so that none begins before it is cancelled, in the order in which all lock them.
--pg ORDER BY +id
--pg FOR UPDATE
;
