-- Calls that were under way when the service ended: tasks have a guid, calls do not. By executions_running.
SELECT id FROM executions WHERE state = 'RUNNING' AND task_guid IS NULL;
