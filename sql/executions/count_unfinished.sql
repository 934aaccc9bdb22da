-- The number of PENDING executions, and of RUNNING ones, each counted up to :limit, by their partial indexes.
SELECT COUNT(*) AS total
  FROM (SELECT 1 FROM (SELECT 1 FROM executions WHERE state = 'PENDING' LIMIT :limit) AS pending
         UNION ALL
        SELECT 1 FROM (SELECT 1 FROM executions WHERE state = 'RUNNING' LIMIT :limit) AS running
       ) AS unfinished;
