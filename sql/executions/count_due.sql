-- The number of due executions of a kind, counted up to a bound. The ORDER BY holds the planner to
-- executions_to_dispatch.
SELECT COUNT(*) AS total
  FROM (SELECT 1
          FROM executions
         WHERE kind = :kind AND dispatch_time <= :now
         ORDER BY dispatch_time, id
         LIMIT :most) AS due;
