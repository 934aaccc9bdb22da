-- A page of an executable's schedules, oldest first, by schedules_by_executable.
SELECT id, guid, executable_id, enabled, expression, dialect, timezone, starts_at, ends_at,
       jitter_seconds, misfire_policy, description, key, created_at, updated_at,
       next_fire_time, completed_at
  FROM schedules
 WHERE executable_id = :executable_id AND deleted_at IS NULL AND id > :after_id AND id <= :last_id
 ORDER BY id
 LIMIT :limit OFFSET :offset;
