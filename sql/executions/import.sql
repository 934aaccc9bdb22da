-- Executions from another database (a JSON array), in its order. No row where the guid exists already, where
-- the job, call or schedule is missing, or where the schedule has an execution of that fire time.
INSERT INTO executions (guid, executable_id, schedule_id, scheduled_time, kind, state, note, message,
                        task_guid, asked_at, created_at, attempts, start_time, end_time, request_id, reason,
                        requested_by, app_guid, attempt,
                        attempt_start_time, cancel_requested_at, cancel_reason, cancel_message, more_skipped)
SELECT r.value ->> 'guid', x.id, s.id, r.value ->> 'scheduled_time', x.kind, r.value ->> 'state',
       r.value ->> 'note',
       r.value ->> 'message', r.value ->> 'task_guid', r.value ->> 'created_at', r.value ->> 'created_at',
       CASE WHEN r.value ->> 'start_time' IS NULL THEN 0 ELSE 1 END, r.value ->> 'start_time',
       r.value ->> 'end_time',
       r.value ->> 'request_id', r.value ->> 'reason', r.value ->> 'requested_by', r.value ->> 'app_guid',
       r.value ->> 'attempt', r.value ->> 'attempt_start_time', r.value ->> 'cancel_requested_at',
       r.value ->> 'cancel_reason', r.value ->> 'cancel_message', r.value ->> 'more_skipped'
  FROM json_each(:rows) AS r
 CROSS JOIN executables AS x ON x.guid = r.value ->> 'executable_guid'
  LEFT JOIN schedules AS s ON s.guid = r.value ->> 'schedule_guid' AND s.executable_id = x.id
 WHERE x.kind = r.value ->> 'kind' AND x.deleted_at IS NULL
       AND (r.value ->> 'schedule_guid' IS NULL OR s.id IS NOT NULL)
 ORDER BY r.key
-- The unique index of guids or of fire times refuses duplicates.
    ON CONFLICT DO NOTHING
RETURNING guid;
