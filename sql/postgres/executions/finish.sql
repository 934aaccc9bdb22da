-- The end, once. No row: it had ended before, is gone, or is in another hand; all are normal. No :fence: it is cancelled, whosever
-- hand it is in, unless it has begun meanwhile.
UPDATE executions
   SET state = :state, message = :message, end_time = :end_time, dispatch_time = NULL, doubt_until = NULL, owner = NULL
 WHERE id = :id AND state IN ('PENDING', 'RUNNING')
   AND (owner = :fence OR (CAST(:fence AS BIGINT) IS NULL AND state = 'PENDING'));
