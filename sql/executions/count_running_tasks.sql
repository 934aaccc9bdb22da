-- The number of running tasks, counted up to a bound, by executions_running.
SELECT COUNT(*) AS total
  FROM (SELECT 1 FROM executions WHERE state = 'RUNNING' AND kind = 'job' LIMIT :most) AS running;
