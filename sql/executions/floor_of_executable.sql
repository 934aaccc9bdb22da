-- Like floor.sql, among the executions of one job or call, by executions_by_executable.
SELECT id FROM executions WHERE executable_id = :executable_id AND id < :before_id ORDER BY id DESC
 LIMIT 1 OFFSET :budget;
