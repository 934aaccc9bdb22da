-- Calls that have been started and not ended, by executions_running; PostgreSQL: under one lease, by executions_by_owner.
SELECT id, guid, kind, request_id
  FROM executions
 WHERE state = 'RUNNING' AND kind = 'call'
--pg AND owner = :fence
 ORDER BY id;
