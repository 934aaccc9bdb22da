-- Calls of this instance that are to be cancelled, by executions_to_cancel. The request may have reached
-- another instance.
SELECT id
  FROM executions
 WHERE owner = :fence AND state = 'RUNNING' AND kind = 'call' AND cancel_requested_at IS NOT NULL
 ORDER BY cancel_requested_at;
