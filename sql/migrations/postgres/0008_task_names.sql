-- Task names that are not the execution's guid, and names of instances.

-- The name of the first attempt's task, from which later names are derived. NULL: the execution's guid.
ALTER TABLE executions ADD COLUMN task_name TEXT;
-- The same name, and the number of attempts, of an execution whose tasks are looked for.
ALTER TABLE strays ADD COLUMN task_name TEXT;
ALTER TABLE strays ADD COLUMN attempts BIGINT NOT NULL DEFAULT 1;

-- INSTANCE_ID: a process that restarts under this name takes over its earlier work at once. Only one lease
-- has it at a time.
ALTER TABLE instances ADD COLUMN name TEXT;
CREATE UNIQUE INDEX instances_by_name ON instances (name) WHERE name IS NOT NULL;
