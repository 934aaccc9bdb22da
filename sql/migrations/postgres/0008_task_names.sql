-- Names of tasks other than the guid of the execution, and names of instances.

-- The name of the task of the first attempt, from which those of the others follow. NULL: the execution's guid.
ALTER TABLE executions ADD COLUMN task_name TEXT;
-- The same of an execution that is looked for, and how many attempts it had.
ALTER TABLE strays ADD COLUMN task_name TEXT;
ALTER TABLE strays ADD COLUMN attempts BIGINT NOT NULL DEFAULT 1;

-- INSTANCE_ID: a process that restarts under it takes over at once what it had. One lease at a time has it.
ALTER TABLE instances ADD COLUMN name TEXT;
CREATE UNIQUE INDEX instances_by_name ON instances (name) WHERE name IS NOT NULL;
