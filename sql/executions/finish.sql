-- Ends an execution, once. No row: it had ended before, is gone, or is owned under another lease; all are normal.
UPDATE executions
   SET state = :state, message = :message, end_time = :end_time, dispatch_time = NULL, doubt_until = NULL
--pg , owner = NULL
 WHERE id = :id AND state IN ('PENDING', 'RUNNING')
-- Without :fence it is a cancellation, which counts under any lease as long as the work has not begun.
--pg AND (owner = :fence OR (CAST(:fence AS BIGINT) IS NULL AND state = 'PENDING'))
;
