-- Calls that were under way when the service ended, by executions_running.
SELECT id, guid, kind, request_id
  FROM executions
 WHERE state = 'RUNNING' AND kind = 'call';
