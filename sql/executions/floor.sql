-- The oldest execution that one step of a search examines: number :budget before :before_id. No row: fewer
-- are left.
SELECT id FROM executions WHERE id < :before_id ORDER BY id DESC LIMIT 1 OFFSET :budget;
