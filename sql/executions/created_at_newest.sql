-- When the execution was created that comes after the newest :most. No row: there are fewer.
SELECT created_at FROM executions ORDER BY id DESC LIMIT 1 OFFSET :most;
