-- A batch of executions, by key, for another database.
SELECT e.id, e.guid, x.guid AS executable_guid, x.kind, s.guid AS schedule_guid, e.scheduled_time,
       CASE WHEN e.state = 'PENDING' AND e.id <= s.cancelled_up_to THEN 'FAILED' ELSE e.state END AS state,
       e.note,
       CASE WHEN e.state = 'PENDING' AND e.id <= s.cancelled_up_to THEN s.cancel_reason
           ELSE e.message END AS message,
       e.task_guid, e.created_at, e.start_time,
       CASE WHEN e.state = 'PENDING' AND e.id <= s.cancelled_up_to THEN s.cancelled_at
           ELSE e.end_time END AS end_time,
       e.request_id, CASE WHEN e.state = 'PENDING' AND e.id <= s.cancelled_up_to THEN 'cancelled'
           ELSE e.reason END AS reason,
       e.requested_by, e.app_guid, e.attempt, e.attempt_start_time, e.cancel_requested_at, e.cancel_reason,
       e.cancel_message, e.more_skipped
  FROM executions AS e
  JOIN executables AS x ON x.id = e.executable_id
  LEFT JOIN schedules AS s ON s.id = e.schedule_id
 WHERE e.id > :after_id AND x.deleted_at IS NULL
 ORDER BY e.id
 LIMIT :limit;
