-- Of several jobs. A job's state is that of the execution created last among the ended ones: an older one
-- that ends later changes no row, be it of these or not. The same one may change it again: a cancellation
-- counts an execution as FAILED that begins at the same moment, and its real end comes later.
WITH given AS MATERIALIZED (
         SELECT DISTINCT ON (e.executable_id) r.n, r.execution_id, r.state, e.executable_id
           FROM json_to_recordset(CAST(:rows AS JSON)) AS r (n BIGINT, execution_id BIGINT, state TEXT)
          CROSS JOIN executions AS e
          WHERE e.id = r.execution_id
          ORDER BY e.executable_id, r.execution_id DESC, r.n DESC)
UPDATE executables AS x
   SET state = g.state, state_execution_id = g.execution_id
  FROM given AS g
 WHERE x.id = g.executable_id AND x.kind = 'job' AND x.state_execution_id <= g.execution_id
RETURNING g.n;
