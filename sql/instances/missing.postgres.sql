-- Owners of executions that have no lease at all, by executions_by_owner.
SELECT DISTINCT e.owner
  FROM executions AS e
 WHERE e.owner IS NOT NULL AND NOT EXISTS (SELECT 1 FROM instances AS i WHERE i.id = e.owner)
 LIMIT :limit;
