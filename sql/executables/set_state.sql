-- A job's state is that of its latest-created ended execution: an older execution that ends later changes no
-- row.
UPDATE executables
   SET state = :state, state_execution_id = :execution_id
 WHERE id = (SELECT executable_id FROM executions WHERE id = :execution_id) AND kind = 'job'
   AND state_execution_id <= :execution_id;
