-- A batch of finished attempts, by key, for another database.
SELECT a.execution_id, e.guid, a.number, a.start_time, a.end_time, a.task_guid, a.message
  FROM attempts AS a JOIN executions AS e ON e.id = a.execution_id
 WHERE (a.execution_id, a.number) > (:after_id, :after_number)
 ORDER BY a.execution_id, a.number
 LIMIT :limit;
