-- The number of schedules of an executable, and the last of them, by schedules_by_executable.
SELECT COUNT(*) AS total, COALESCE(MAX(id), 0) AS last_id FROM schedules WHERE executable_id = :executable_id
   AND deleted_at IS NULL;
