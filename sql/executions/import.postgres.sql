-- As import.sql does. A second file, for PostgreSQL reads a JSON array as a record set, of columns with
-- types. All rows in one statement: a trigger counts the sizes of histories once a statement.
INSERT INTO executions (guid, executable_id, schedule_id, scheduled_time, kind, state, note, message, task_guid, asked_at,
                        created_at, attempts, start_time, end_time, request_id)
SELECT r.guid, x.id, s.id, r.scheduled_time, x.kind, r.state, r.note, r.message, r.task_guid, r.created_at, r.created_at,
       CASE WHEN r.start_time IS NULL THEN 0 ELSE 1 END, r.start_time, r.end_time, r.request_id
  FROM ROWS FROM (json_to_recordset(CAST(:rows AS JSON))
       AS (guid TEXT, executable_guid TEXT, kind TEXT, schedule_guid TEXT, scheduled_time BIGINT, state TEXT, note TEXT,
           message TEXT, task_guid TEXT, created_at BIGINT, start_time BIGINT, end_time BIGINT,
           request_id TEXT)) WITH ORDINALITY AS r
  JOIN executables AS x ON x.guid = r.executable_guid
  LEFT JOIN schedules AS s ON s.guid = r.schedule_guid AND s.executable_id = x.id
 WHERE x.kind = r.kind AND x.deleted_at IS NULL AND (r.schedule_guid IS NULL OR s.id IS NOT NULL)
 ORDER BY r.ordinality
-- By the index of guids, or that of fire times: either keeps it out.
    ON CONFLICT DO NOTHING
RETURNING guid;
