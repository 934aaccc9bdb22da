-- How many there are in the history of one schedule, which is counted already, and the newest, by executions_by_schedule.
SELECT COALESCE((SELECT CAST(SUM(size) AS BIGINT) FROM history_sizes WHERE owner = 'schedule' AND owner_id = :owner_id), 0),
       COALESCE((SELECT MAX(id) FROM executions WHERE schedule_id = :owner_id), 0);
