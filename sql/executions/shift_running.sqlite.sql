-- The clock was set: shift the start of running attempts, so that their age stays the same.
UPDATE executions
   SET attempt_start_time = attempt_start_time + :by, cancel_accepted_at = cancel_accepted_at + :by
 WHERE state = 'RUNNING';
