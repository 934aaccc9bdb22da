-- The platform has the task. No row: the execution is gone, and the task is left to end.
UPDATE executions
   SET state = 'RUNNING', task_guid = :task_guid, message = '', dispatch_time = NULL, doubt_until = NULL
 WHERE id = :id AND state = 'PENDING';
