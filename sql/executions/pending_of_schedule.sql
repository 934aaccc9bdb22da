-- The PENDING executions of a schedule, by executions_pending.
SELECT id, guid, kind, request_id
  FROM executions
 WHERE executable_id = :executable_id AND schedule_id = :schedule_id AND state = 'PENDING'
-- Locked, so that none begins before it is cancelled.
--pg FOR UPDATE
;
