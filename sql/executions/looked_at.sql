-- How many executions find.sql has looked at, down to :from_id, and which one was the last.
SELECT COUNT(*) AS total, COALESCE(MIN(id), 0) AS last_id
  FROM (SELECT id FROM executions WHERE id < :before_id AND id >= :from_id ORDER BY id DESC LIMIT :budget) AS looked;
