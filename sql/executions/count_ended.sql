-- The number of executions that ended in a period, counted up to :limit, by executions_ended.
SELECT COUNT(*) AS total
  FROM (SELECT 1 FROM executions
         WHERE end_time > COALESCE(CAST(:ended_after AS BIGINT), -1)
           AND end_time < COALESCE(CAST(:ended_before AS BIGINT), 9223372036854775807)
         LIMIT :limit) AS ended;
