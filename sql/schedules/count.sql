-- How many an executable has, and the last of them, by schedules_by_executable.
SELECT COUNT(*), COALESCE(MAX(id), 0) FROM schedules WHERE executable_id = :executable_id AND deleted_at IS NULL;
