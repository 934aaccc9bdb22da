-- When the next execution is due that is not due yet, by executions_to_dispatch.
SELECT MIN(dispatch_time) AS dispatch_time
  FROM (SELECT MIN(dispatch_time) AS dispatch_time FROM executions WHERE kind = 'job' AND dispatch_time > :now
         UNION ALL
        SELECT MIN(dispatch_time) FROM executions WHERE kind = 'call' AND dispatch_time > :now) AS lanes;
