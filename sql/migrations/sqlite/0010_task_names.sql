-- Task names that are not the execution's guid.

-- The name of the first attempt's task, from which later names are derived. NULL: the execution's guid.
ALTER TABLE executions ADD COLUMN task_name TEXT;
-- The same name, and the number of attempts, of an execution whose tasks are looked for.
ALTER TABLE strays ADD COLUMN task_name TEXT;
ALTER TABLE strays ADD COLUMN attempts INTEGER NOT NULL DEFAULT 1;
