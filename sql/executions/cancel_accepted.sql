-- The platform has accepted the cancellation of the task. No row: the execution has ended, or is owned under
-- another lease.
UPDATE executions
   SET cancel_accepted_at = :now
 WHERE id = :id AND state || '' = 'RUNNING' AND cancel_accepted_at IS NULL
--pg AND owner = :fence
;
