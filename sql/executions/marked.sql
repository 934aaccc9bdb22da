-- A batch of executions that a mark on their schedule cancels, oldest first, by executions_pending.
SELECT id
  FROM executions
 WHERE executable_id = :executable_id AND schedule_id = :schedule_id AND state = 'PENDING' AND id <= :up_to
 ORDER BY id
 LIMIT :limit
-- Locked until they are cancelled.
--pg FOR UPDATE
;
