-- Like import.sql. A second file because PostgreSQL reads a JSON array as a record set with typed columns.
-- One statement for all rows, because a trigger updates the sizes of histories once a statement.
INSERT INTO executions (guid, executable_id, schedule_id, scheduled_time, kind, state, note, message,
                        task_guid, asked_at, created_at, attempts, start_time, end_time, request_id, reason,
                        requested_by, app_guid, attempt,
                        attempt_start_time, cancel_requested_at, cancel_reason, cancel_message, more_skipped)
SELECT r.guid, x.id, s.id, r.scheduled_time, x.kind, r.state, r.note, r.message, r.task_guid, r.created_at,
       r.created_at,
       CASE WHEN r.start_time IS NULL THEN 0 ELSE 1 END, r.start_time, r.end_time, r.request_id,
       r.reason, r.requested_by, r.app_guid, r.attempt, r.attempt_start_time, r.cancel_requested_at,
       r.cancel_reason, r.cancel_message, r.more_skipped
  FROM ROWS FROM (json_to_recordset(CAST(:rows AS JSON))
       AS (guid TEXT, executable_guid TEXT, kind TEXT, schedule_guid TEXT, scheduled_time BIGINT, state TEXT,
           note TEXT, message TEXT, task_guid TEXT, created_at BIGINT, start_time BIGINT, end_time BIGINT,
           request_id TEXT, reason TEXT, requested_by TEXT, app_guid TEXT, attempt BIGINT,
           attempt_start_time BIGINT, cancel_requested_at BIGINT, cancel_reason TEXT, cancel_message TEXT,
           more_skipped BIGINT)) WITH ORDINALITY AS r
  JOIN executables AS x ON x.guid = r.executable_guid
  LEFT JOIN schedules AS s ON s.guid = r.schedule_guid AND s.executable_id = x.id
 WHERE x.kind = r.kind AND x.deleted_at IS NULL AND (r.schedule_guid IS NULL OR s.id IS NOT NULL)
 ORDER BY r.ordinality
-- The unique index of guids or of fire times refuses duplicates.
    ON CONFLICT DO NOTHING
RETURNING guid;
