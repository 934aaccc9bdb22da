-- The newest :limit executions before :before_id among those created in a period, by executions_by_creation.
-- They are sorted, so the period must not have many (count_created.sql). Adding 0 keeps the
-- planner from the primary key.
SELECT id
  FROM executions
 WHERE created_at > COALESCE(CAST(:created_after AS BIGINT), -1)
   AND created_at < COALESCE(CAST(:created_before AS BIGINT), 9223372036854775807)
   AND id + 0 < :before_id
 ORDER BY id + 0 DESC
 LIMIT :limit;
