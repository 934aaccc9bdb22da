-- Calls in the hands of this instance that are to end, by executions_by_owner: another instance may have been
-- asked.
SELECT id
  FROM executions
 WHERE owner = :fence AND state = 'RUNNING' AND kind = 'call' AND cancel_requested_at IS NOT NULL;
