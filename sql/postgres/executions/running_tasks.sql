-- A batch of the executions whose tasks are under way and in one hand, by key, by executions_by_owner.
SELECT e.id, e.guid, e.task_guid, x.guid, e.scheduled_time, e.start_time, e.request_id
  FROM executions AS e JOIN executables AS x ON x.id = e.executable_id
 WHERE e.owner = :fence AND e.state = 'RUNNING' AND e.task_guid IS NOT NULL AND e.id > :after_id
 ORDER BY e.id
 LIMIT :limit;
