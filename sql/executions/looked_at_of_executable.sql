-- How many executions find_of_executable.sql has examined, down to :from_id, and the last of them.
SELECT COUNT(*) AS total, COALESCE(MIN(id), 0) AS last_id
  FROM (SELECT id FROM executions WHERE executable_id = :executable_id AND id < :before_id AND id >= :from_id
        ORDER BY id DESC LIMIT :budget) AS looked;
