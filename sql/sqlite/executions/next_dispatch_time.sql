-- When the next attempt is due that is not due yet, by executions_to_dispatch.
SELECT MIN(dispatch_time) FROM executions WHERE dispatch_time > :now;
