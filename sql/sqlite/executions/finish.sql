-- The end, once. No row: it had ended before, or is gone; both are normal.
UPDATE executions
   SET state = :state, message = :message, end_time = :end_time, dispatch_time = NULL, doubt_until = NULL
 WHERE id = :id AND state IN ('PENDING', 'RUNNING');
