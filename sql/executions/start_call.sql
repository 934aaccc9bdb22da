-- The call is about to be sent. No row: the execution was cancelled, is gone, or is owned under another lease.
UPDATE executions
   SET state = 'RUNNING', start_time = :now, attempts = 1, dispatch_time = NULL
 WHERE id = :id AND state = 'PENDING' --sqlite
-- The owner may record it again when the server's answer was lost.
--pg WHERE id = :id AND state IN ('PENDING', 'RUNNING') AND owner = :fence
;
