-- A batch of an executable's ended executions beyond its newest :keep, by executions_by_executable.
DELETE FROM executions
 WHERE id IN (SELECT id
                FROM executions
               WHERE executable_id = :executable_id AND end_time IS NOT NULL
               ORDER BY id DESC
               LIMIT :limit OFFSET :keep);
