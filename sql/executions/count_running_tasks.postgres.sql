-- How many tasks are running; counted up to a bound. A second file, for PostgreSQL finds them by
-- executions_by_owner and executions_unfollowed, and needs no index of RUNNING executions, to which each call
-- would add an entry.
SELECT COUNT(*) AS total
  FROM (SELECT 1
          FROM (SELECT 1 FROM executions WHERE owner IS NOT NULL AND state = 'RUNNING' AND kind = 'job'
                 UNION ALL
                SELECT 1 FROM executions WHERE owner IS NULL AND state = 'RUNNING' AND kind = 'job') AS running
         LIMIT :most) AS counted;
