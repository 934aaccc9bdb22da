-- Records an attempt before it is retried. No row: the execution has ended, is gone, is being cancelled or is
-- owned under another lease, its schedule is disabled or deleted, or its job or call is deleted.
INSERT INTO attempts (execution_id, number, start_time, end_time, task_guid, message)
SELECT e.id, e.attempt, COALESCE(e.attempt_start_time, e.start_time), :ended_at, e.task_guid, :cause
  FROM executions AS e JOIN executables AS x ON x.id = e.executable_id LEFT JOIN schedules AS s
       ON s.id = e.schedule_id
 WHERE e.id = :id AND e.state || '' = 'RUNNING' AND e.attempt = :attempt
--pg AND e.owner = :fence
   AND COALESCE(e.cancel_reason, 'timeout') = 'timeout' AND x.deleted_at IS NULL
   AND (e.schedule_id IS NULL OR (s.enabled AND s.deleted_at IS NULL))
       AND e.id > COALESCE(s.cancelled_up_to, 0)
-- Locked until the execution is PENDING again.
--pg FOR UPDATE OF e
;
