-- Names of tasks other than the guid of the execution.

-- The name of the task of the first attempt, from which those of the others follow. NULL: the execution's guid.
ALTER TABLE executions ADD COLUMN task_name TEXT;
-- The same of an execution that is looked for, and how many attempts it had.
ALTER TABLE strays ADD COLUMN task_name TEXT;
ALTER TABLE strays ADD COLUMN attempts INTEGER NOT NULL DEFAULT 1;
