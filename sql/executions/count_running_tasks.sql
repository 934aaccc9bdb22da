-- How many tasks are running, by executions_running; counted up to a bound.
SELECT COUNT(*) AS total
  FROM (SELECT 1 FROM executions WHERE state = 'RUNNING' AND kind = 'job' LIMIT :most) AS running;
