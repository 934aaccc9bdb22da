-- A batch of schedules, by key, for another database.
SELECT s.id, s.guid, x.guid AS executable_guid, x.kind, s.enabled, s.expression, s.dialect, s.timezone,
       s.starts_at, s.ends_at, s.jitter_seconds, s.misfire_policy, s.description, s.key, s.completed_at,
       s.next_fire_time, s.created_at, s.updated_at
  FROM schedules AS s JOIN executables AS x ON x.id = s.executable_id
 WHERE s.id > :after_id AND s.deleted_at IS NULL AND x.deleted_at IS NULL
 ORDER BY s.id
 LIMIT :limit;
