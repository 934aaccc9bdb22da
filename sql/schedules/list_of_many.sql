-- The first schedules of each of some executables (a JSON array of ids), oldest first, by
-- schedules_by_executable.
SELECT id, guid, executable_id, enabled, expression, dialect, timezone, starts_at, ends_at,
       jitter_seconds, misfire_policy, description, key, created_at, updated_at,
       next_fire_time, completed_at
  FROM schedules
 WHERE executable_id IN (SELECT value FROM json_each(:executable_ids)) --sqlite
--pg WHERE executable_id IN (SELECT CAST(value AS BIGINT)
--pg                         FROM json_array_elements_text(CAST(:executable_ids AS JSON)))
   AND deleted_at IS NULL
 ORDER BY executable_id, id
 LIMIT :limit;
