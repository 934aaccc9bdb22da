-- Deletes an execution that executions/count_skip counts on another one. No row: it has begun or ended.
DELETE FROM executions WHERE id = :id AND state || '' = 'PENDING' AND start_time IS NULL;
