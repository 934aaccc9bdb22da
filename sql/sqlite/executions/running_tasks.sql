-- A batch of the executions whose tasks are under way, by key, by executions_running.
SELECT e.id, e.guid, e.task_guid, x.guid, e.scheduled_time, e.start_time, e.request_id
  FROM executions AS e CROSS JOIN executables AS x ON x.id = e.executable_id
 WHERE e.state = 'RUNNING' AND e.task_guid IS NOT NULL AND e.id > :after_id
 ORDER BY e.id
 LIMIT :limit;
