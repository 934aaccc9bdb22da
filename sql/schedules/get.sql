-- By the unique index of guid: IS TRUE keeps the planner from choosing another index. A schedule of another
-- executable is not found.
SELECT id, guid, executable_id, enabled, expression, dialect, timezone, starts_at, ends_at,
       jitter_seconds, misfire_policy, description, key, created_at, updated_at,
       next_fire_time, completed_at
  FROM schedules
 WHERE guid = :guid AND (executable_id = :executable_id) IS TRUE AND deleted_at IS NULL;
