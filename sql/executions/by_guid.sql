-- One execution with its job or call, by the unique index of guid. If a mark on its schedule cancels it, it
-- reads as FAILED, even before its own row says so.
SELECT e.id, e.guid, s.guid AS schedule_guid, e.scheduled_time,
       CASE WHEN e.state = 'PENDING' AND e.id <= s.cancelled_up_to THEN 'FAILED' ELSE e.state END AS state,
       e.note,
       CASE WHEN e.state = 'PENDING' AND e.id <= s.cancelled_up_to THEN s.cancel_reason
           ELSE e.message END AS message,
       e.task_guid, e.start_time,
       CASE WHEN e.state = 'PENDING' AND e.id <= s.cancelled_up_to THEN s.cancelled_at
           ELSE e.end_time END AS end_time,
       CASE WHEN e.state = 'PENDING' AND e.id <= s.cancelled_up_to THEN 'cancelled'
           ELSE e.reason END AS reason,
       e.requested_by, e.attempt, e.more_skipped, e.more_fire_times, e.kind, e.created_at,
       x.guid AS executable_guid, x.name, x.app_guid, x.space_guid,
       e.attempt_start_time, e.cancel_requested_at, e.app_guid AS ran_in
  FROM executions AS e
  JOIN executables AS x ON x.id = e.executable_id
  LEFT JOIN schedules AS s ON s.id = e.schedule_id
 WHERE e.guid = :guid AND (x.deleted_at IS NULL) IS TRUE;
