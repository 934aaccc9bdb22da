-- A batch of a space's enabled schedules that have no fire time, by executables_by_space and
-- schedules_by_executable.
SELECT x.id AS executable_id, s.id, s.expression, s.dialect, s.timezone, s.starts_at, s.ends_at,
       x.guid AS executable_guid
  FROM executables AS x CROSS JOIN schedules AS s
 WHERE s.executable_id = x.id AND s.enabled AND s.deleted_at IS NULL AND s.next_fire_time IS NULL
   AND x.space_guid = :space_guid AND x.kind = :kind AND x.deleted_at IS NULL
   AND x.id >= :after_executable AND (x.id > :after_executable OR s.id > :after_schedule)
 ORDER BY x.id, s.id
 LIMIT :limit;
