-- How many executions of a kind are due, by executions_to_dispatch, to which the order holds the planner;
-- counted up to a bound.
SELECT COUNT(*) AS total
  FROM (SELECT 1
          FROM executions
         WHERE kind = :kind AND dispatch_time <= :now
         ORDER BY dispatch_time, id
         LIMIT :most) AS due;
