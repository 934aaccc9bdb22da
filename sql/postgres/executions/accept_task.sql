-- The platform has the task, which whoever has it in hand follows. No row: the execution is gone, or in another hand. It may be recorded
-- again, when the answer was lost.
UPDATE executions
   SET state = 'RUNNING', task_guid = :task_guid, message = '', dispatch_time = NULL, doubt_until = NULL
 WHERE id = :id AND (state = 'PENDING' OR (state = 'RUNNING' AND task_guid = :task_guid)) AND owner = :fence;
