-- One that is counted on another one instead. No row: it has begun, or ended.
DELETE FROM executions WHERE id = :id AND state || '' = 'PENDING' AND start_time IS NULL;
