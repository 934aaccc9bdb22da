-- How long the history of one schedule is, which is counted already, and its newest execution, by
-- executions_by_schedule. PostgreSQL counts in several shares, whose sum is the length.
SELECT COALESCE((SELECT CAST(SUM(size) AS BIGINT) FROM history_sizes WHERE owner = 'schedule' AND owner_id = :owner_id), 0)
           AS total,
       COALESCE((SELECT MAX(id) FROM executions WHERE schedule_id = :owner_id), 0) AS last_id;
