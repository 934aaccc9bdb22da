-- Like import_gone.sql. A second file because PostgreSQL reads a JSON array as a record set with typed
-- columns.
INSERT INTO schedules (guid, executable_id, enabled, expression, planned_at, created_at, updated_at,
                       deleted_at)
SELECT r.schedule_guid, MIN(x.id), FALSE, '', :now, MIN(r.created_at), MIN(r.created_at), :now
  FROM json_to_recordset(CAST(:rows AS JSON))
       AS r (guid TEXT, executable_guid TEXT, kind TEXT, schedule_guid TEXT, created_at BIGINT)
  JOIN executables AS x ON x.guid = r.executable_guid
 WHERE r.schedule_guid IS NOT NULL AND x.kind = r.kind AND x.deleted_at IS NULL
   AND NOT EXISTS (SELECT 1 FROM schedules AS s WHERE s.guid = r.schedule_guid)
   AND NOT EXISTS (SELECT 1 FROM executions AS e WHERE e.guid = r.guid)
 GROUP BY r.schedule_guid
    ON CONFLICT (guid) DO NOTHING;
