-- How many there are in the history of one executable, and the newest, by executions_by_executable alone.
SELECT COUNT(*), COALESCE(MAX(id), 0) FROM executions WHERE executable_id = :owner_id;
