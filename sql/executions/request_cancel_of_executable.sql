-- Cancels the running executions of a job or call that is about to be deleted, by executions_under_way.
UPDATE executions
   SET cancel_requested_at = :now, cancel_reason = 'cancelled', cancel_message = :message
 WHERE executable_id = :executable_id AND state = 'RUNNING'
RETURNING id;
