-- The platform has created the task. No row: the execution has ended or is gone. The update may be repeated
-- if the database's answer was lost.
UPDATE executions
   SET state = 'RUNNING', task_guid = :task_guid, message = '', dispatch_time = NULL, doubt_until = NULL
 WHERE id = :id AND (state = 'PENDING' OR (state = 'RUNNING' AND task_guid = :task_guid))
   AND id > COALESCE((SELECT s.cancelled_up_to FROM schedules AS s WHERE s.id = schedule_id), 0);
