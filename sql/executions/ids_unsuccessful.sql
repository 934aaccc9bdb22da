-- The newest :limit executions before :before_id that are in one of these states, and those that are PENDING
-- or RUNNING, by partial indexes. Few may be PENDING or RUNNING, for these are sorted (count_unfinished.sql).
-- PENDING is always among them, because an execution cancelled by a mark on its schedule counts as FAILED
-- before its own row says so. Adding 0 keeps the planner from the primary key, and SQLite uses a partial
-- index only where its condition is repeated.
SELECT id
  FROM (SELECT id FROM executions WHERE state = 'PENDING' AND id + 0 < :before_id
         UNION ALL
        SELECT id FROM executions WHERE state = 'RUNNING' AND id + 0 < :before_id
         UNION ALL
        SELECT id
          FROM (SELECT id FROM executions
                 WHERE state = 'FAILED' AND state IN ('FAILED', 'SKIPPED') AND id < :before_id
                   AND CAST(:with_failed AS BIGINT) = 1
                 ORDER BY id DESC
                 LIMIT :limit) AS failed
         UNION ALL
        SELECT id
          FROM (SELECT id FROM executions
                 WHERE state = 'SKIPPED' AND state IN ('FAILED', 'SKIPPED') AND id < :before_id
                   AND CAST(:with_skipped AS BIGINT) = 1
                 ORDER BY id DESC
                 LIMIT :limit) AS skipped) AS candidates
 ORDER BY id + 0 DESC
 LIMIT :limit;
