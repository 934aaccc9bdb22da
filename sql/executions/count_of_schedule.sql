-- The length of a schedule's history, from the count kept for it, and its newest execution, by
-- executions_by_schedule. PostgreSQL keeps each count in several rows, to be added up.
SELECT COALESCE((SELECT CAST(SUM(size) AS BIGINT) FROM history_sizes WHERE owner = 'schedule'
                 AND owner_id = :owner_id), 0)
           AS total,
       COALESCE((SELECT MAX(id) FROM executions WHERE schedule_id = :owner_id), 0) AS last_id;
