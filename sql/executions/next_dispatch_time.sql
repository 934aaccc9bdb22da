-- When the next execution becomes due: the first entry of each kind in executions_to_dispatch.
SELECT MIN(dispatch_time) AS dispatch_time
  FROM (SELECT dispatch_time
          FROM (SELECT dispatch_time FROM executions WHERE kind = 'job' AND dispatch_time > :now
                 ORDER BY dispatch_time, id LIMIT 1) AS first_job
         UNION ALL
        SELECT dispatch_time
          FROM (SELECT dispatch_time FROM executions WHERE kind = 'call' AND dispatch_time > :now
                 ORDER BY dispatch_time, id LIMIT 1) AS first_call) AS first_ones;
