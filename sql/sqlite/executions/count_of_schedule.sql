-- How many there are in the history of one schedule, and the newest, by executions_by_schedule alone.
SELECT COUNT(*), COALESCE(MAX(id), 0) FROM executions WHERE schedule_id = :owner_id;
