-- The call is about to be sent. No row: it was cancelled, is gone, or is in another hand. Who has it in hand may ask again, when
-- the answer was lost.
UPDATE executions
   SET state = 'RUNNING', start_time = :now, attempts = 1, dispatch_time = NULL
 WHERE id = :id AND state IN ('PENDING', 'RUNNING') AND owner = :fence;
