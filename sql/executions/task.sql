-- Whether a task is the execution's own.
SELECT state, task_guid FROM executions WHERE id = :id;
