-- The PENDING executions of a schedule, by executions_pending: the + keeps the planner from walking a longer index in the order of ids.
SELECT id, guid, kind, request_id
  FROM executions
 WHERE executable_id = :executable_id AND schedule_id = :schedule_id AND state = 'PENDING'
-- Locked, so that none begins before it is cancelled, in the order in which all lock them.
--pg ORDER BY +id
--pg FOR UPDATE
;
