-- A batch of the executions that ended before :before, by executions_ended.
DELETE FROM executions
 WHERE id IN (SELECT id FROM executions WHERE end_time < :before ORDER BY end_time LIMIT :limit);
