-- Keeps others from changing an execution, by primary key.
SELECT id FROM executions WHERE id = :id FOR UPDATE;
