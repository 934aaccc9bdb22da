-- Of all that concerns the executions of one job or call, one thing at a time is decided. Before any of them is
-- locked, as all others lock them in this order.
SELECT x.id
  FROM executables AS x
 WHERE x.id = (SELECT e.executable_id FROM executions AS e WHERE e.id = :id)
   FOR NO KEY UPDATE;
