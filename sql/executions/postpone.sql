-- Retries later: the wait is a due time in the row, not a sleeping thread. On PostgreSQL any instance may
-- make the next attempt. By primary key: `state || ''` keeps the planner from the partial index of PENDING
-- executions.
UPDATE executions
   SET dispatch_time = :dispatch_time, message = :message, doubt_until = :doubt_until, failures = :failures,
       give_up_at = :give_up_at
--pg , owner = NULL
 WHERE id = :id AND state || '' = 'PENDING'
--pg AND owner = :fence
   AND id > COALESCE((SELECT s.cancelled_up_to FROM schedules AS s WHERE s.id = schedule_id), 0);
