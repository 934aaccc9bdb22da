-- By the unique index schedules_by_key.
SELECT id, guid, executable_id, enabled, expression, dialect, timezone, starts_at, ends_at,
       jitter_seconds, misfire_policy, description, key, created_at, updated_at,
       next_fire_time, completed_at
  FROM schedules
 WHERE executable_id = :executable_id AND key = :key AND deleted_at IS NULL;
