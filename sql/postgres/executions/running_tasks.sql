-- A batch of the executions whose tasks are under way and in one hand, by key, by executions_by_owner.
SELECT id, guid, task_guid
  FROM executions
 WHERE owner = :fence AND state = 'RUNNING' AND task_guid IS NOT NULL AND id > :after_id
 ORDER BY id
 LIMIT :limit;
