-- How long the history of one executable is, which is counted already, and its newest execution, by
-- executions_by_executable. PostgreSQL counts in several shares, whose sum is the length.
SELECT COALESCE((SELECT CAST(SUM(size) AS BIGINT) FROM history_sizes WHERE owner = 'executable' AND owner_id = :owner_id), 0)
           AS total,
       COALESCE((SELECT MAX(id) FROM executions WHERE executable_id = :owner_id), 0) AS last_id;
