-- Nobody changes an execution from here on, by primary key.
SELECT id FROM executions WHERE id = :id FOR UPDATE;
