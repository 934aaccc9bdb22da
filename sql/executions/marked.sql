-- A batch of the executions that a mark on their schedule cancels, by executions_pending, the oldest first.
SELECT id
  FROM executions
 WHERE executable_id = :executable_id AND schedule_id = :schedule_id AND state = 'PENDING' AND id <= :up_to
 ORDER BY id
 LIMIT :limit
-- Locked, so that none is changed before it is cancelled.
--pg FOR UPDATE
;
