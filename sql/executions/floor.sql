-- The last of the executions that one request looks at: the one number :budget before :before_id. No row: there
-- are fewer.
SELECT id FROM executions WHERE id < :before_id ORDER BY id DESC LIMIT 1 OFFSET :budget;
