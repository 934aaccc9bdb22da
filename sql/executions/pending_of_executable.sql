-- How many executions of an executable are PENDING, by executions_pending.
SELECT COUNT(*) AS waiting FROM executions WHERE executable_id = :executable_id AND state = 'PENDING';
