-- What an executable has waiting, by executions_pending.
SELECT id FROM executions WHERE executable_id = :executable_id AND state = 'PENDING';
