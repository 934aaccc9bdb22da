-- The number of executions created in a period, counted up to :limit, by executions_by_creation.
SELECT COUNT(*) AS total
  FROM (SELECT 1 FROM executions
         WHERE created_at > COALESCE(CAST(:created_after AS BIGINT), -1)
           AND created_at < COALESCE(CAST(:created_before AS BIGINT), 9223372036854775807)
         LIMIT :limit) AS created;
