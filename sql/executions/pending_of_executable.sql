-- The number of PENDING executions of an executable, by executions_pending.
SELECT COUNT(*) AS waiting FROM executions WHERE executable_id = :executable_id AND state = 'PENDING';
