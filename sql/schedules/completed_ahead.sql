-- Schedules that were completed in what is now the future, because the clock was set back since, by
-- schedules_by_completed_at.
SELECT s.id, s.completed_at, s.expression, s.dialect, s.timezone, s.starts_at, s.ends_at, s.last_fire_time,
       x.guid AS executable_guid
  FROM schedules AS s CROSS JOIN executables AS x
 WHERE s.completed_at > :now AND s.deleted_at IS NULL AND x.id = s.executable_id AND x.deleted_at IS NULL
 ORDER BY s.completed_at
 LIMIT :limit;
