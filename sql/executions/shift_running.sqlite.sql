-- The clock was set: how long an attempt has been running is a span of time too.
UPDATE executions
   SET attempt_start_time = attempt_start_time + :by, cancel_accepted_at = cancel_accepted_at + :by
 WHERE state = 'RUNNING';
