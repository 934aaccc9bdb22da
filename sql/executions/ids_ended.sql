-- The newest :limit executions before :before_id among those that ended in a period, by executions_ended, and
-- those that are PENDING: one cancelled by a mark on its schedule has ended before its own row says so. They
-- are sorted, so neither may be many (count_ended.sql, count_unfinished.sql). Adding 0 keeps
-- the planner from the primary key.
SELECT id
  FROM (SELECT id
          FROM executions
         WHERE end_time > COALESCE(CAST(:ended_after AS BIGINT), -1)
           AND end_time < COALESCE(CAST(:ended_before AS BIGINT), 9223372036854775807)
         UNION ALL
        SELECT id FROM executions WHERE state = 'PENDING') AS candidates
 WHERE id + 0 < :before_id
 ORDER BY id + 0 DESC
 LIMIT :limit;
