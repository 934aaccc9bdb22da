-- Several jobs at once. A job's state is that of its latest-created ended execution: an older execution that
-- ends later changes no row. The same execution may change the state twice: a cancellation can count it as
-- FAILED just as it begins, and its real outcome follows.
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
