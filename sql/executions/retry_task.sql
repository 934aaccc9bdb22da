-- A task that the platform stored but never ran does not count: it is retried later. By primary key. No row:
-- the execution has ended, is gone, has another task, or is owned under another lease.
UPDATE executions
   SET state = 'PENDING', task_guid = NULL, dispatch_time = :dispatch_time, message = :message,
       doubt_until = :doubt_until, failures = :failures, give_up_at = :give_up_at
--pg , owner = NULL
 WHERE id = :id AND state = 'RUNNING' AND task_guid = :task_guid
--pg AND owner = :fence
;
