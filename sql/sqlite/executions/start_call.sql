-- The call is about to be sent. No row: it was cancelled, or is gone.
UPDATE executions
   SET state = 'RUNNING', start_time = :now, attempts = attempts + 1, dispatch_time = NULL
 WHERE id = :id AND state = 'PENDING';
