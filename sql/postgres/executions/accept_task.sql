-- The platform has the task, which whoever has it in hand follows. No row: the execution is gone, or in another hand.
UPDATE executions
   SET state = 'RUNNING', task_guid = :task_guid, message = '', dispatch_time = NULL, doubt_until = NULL
 WHERE id = :id AND state = 'PENDING' AND owner = :fence;
