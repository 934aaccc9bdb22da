-- The number of PENDING executions of a schedule that are not cancelled yet, and the newest of them, by
-- executions_pending.
SELECT COUNT(*) AS waiting, MAX(id) AS last
  FROM executions
 WHERE executable_id = :executable_id AND schedule_id = :schedule_id AND state = 'PENDING'
   AND id > COALESCE((SELECT s.cancelled_up_to FROM schedules AS s WHERE s.id = :schedule_id), 0);
