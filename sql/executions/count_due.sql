-- How many of a kind are due, by executions_to_dispatch alone; counted up to a bound.
SELECT COUNT(*) AS total
  FROM (SELECT 1 FROM executions WHERE kind = :kind AND dispatch_time <= :now LIMIT :most) AS due;
