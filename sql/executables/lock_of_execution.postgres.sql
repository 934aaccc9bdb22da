-- Serialises decisions about the executions of one job or call. It is taken before any execution is locked,
-- in the same order as everywhere else, so that nothing deadlocks.
SELECT x.id
  FROM executables AS x
 WHERE x.id = (SELECT e.executable_id FROM executions AS e WHERE e.id = :id)
   FOR NO KEY UPDATE;
