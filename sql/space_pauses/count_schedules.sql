-- The number of schedules of a space, by executables_by_space and schedules_by_executable.
SELECT COUNT(*) AS total
  FROM executables AS x JOIN schedules AS s ON s.executable_id = x.id
 WHERE x.space_guid = :space_guid AND x.deleted_at IS NULL AND s.deleted_at IS NULL;
