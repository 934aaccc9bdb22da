-- Calls of this instance that are to be cancelled, by executions_by_owner. The request may have reached
-- another instance.
SELECT id
  FROM executions
 WHERE owner = :fence AND state = 'RUNNING' AND kind = 'call' AND cancel_requested_at IS NOT NULL;
