-- When the next attempt is due that is not due yet, by executions_to_dispatch.
SELECT LEAST((SELECT MIN(dispatch_time) FROM executions WHERE kind = 'job' AND dispatch_time > :now),
             (SELECT MIN(dispatch_time) FROM executions WHERE kind = 'call' AND dispatch_time > :now));
