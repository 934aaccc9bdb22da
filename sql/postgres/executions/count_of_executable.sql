-- How many there are in the history of one executable, which is counted already, and the newest, by executions_by_executable.
SELECT COALESCE((SELECT CAST(SUM(size) AS BIGINT) FROM history_sizes WHERE owner = 'executable' AND owner_id = :owner_id), 0),
       COALESCE((SELECT MAX(id) FROM executions WHERE executable_id = :owner_id), 0);
