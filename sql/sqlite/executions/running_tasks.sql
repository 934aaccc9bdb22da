-- A batch of the executions whose tasks are under way, by key, by executions_running.
SELECT id, guid, task_guid
  FROM executions
 WHERE state = 'RUNNING' AND task_guid IS NOT NULL AND id > :after_id
 ORDER BY id
 LIMIT :limit;
