-- The PENDING executions of an executable, by executions_pending.
SELECT id, guid, kind, request_id
  FROM executions
 WHERE executable_id = :executable_id AND state = 'PENDING'
-- Locked, so that none begins before it is cancelled.
--pg FOR UPDATE
;
