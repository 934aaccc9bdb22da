-- A batch of the executions of a deleted executable, in any state.
DELETE FROM executions
 WHERE id IN (SELECT id FROM executions WHERE executable_id = :executable_id ORDER BY id LIMIT :limit);
