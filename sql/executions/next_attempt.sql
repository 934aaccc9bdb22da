-- Makes the execution PENDING for its next attempt, after attempts/insert has recorded the last one.
UPDATE executions
   SET state = 'PENDING', attempt = attempt + 1, attempt_start_time = NULL, attempts = 0, failures = 0,
       give_up_at = NULL, doubt_until = NULL, task_name = NULL, dispatch_time = :due_at, message = :message,
       cancel_requested_at = NULL, cancel_reason = NULL, cancel_message = NULL, cancel_accepted_at = NULL
--pg , owner = NULL
 WHERE id = :id AND state || '' = 'RUNNING';
