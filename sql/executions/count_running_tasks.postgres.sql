-- The number of running tasks, counted up to a bound. A second file because PostgreSQL finds them by
-- executions_by_owner and executions_unfollowed. It has no index of RUNNING executions, to which every call
-- would add an entry.
SELECT COUNT(*) AS total
  FROM (SELECT 1
          FROM (SELECT 1 FROM executions WHERE owner IS NOT NULL AND state = 'RUNNING' AND kind = 'job'
                 UNION ALL
                SELECT 1 FROM executions WHERE owner IS NULL AND state = 'RUNNING'
                       AND kind = 'job') AS running
         LIMIT :most) AS counted;
