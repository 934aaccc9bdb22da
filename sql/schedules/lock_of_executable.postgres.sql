-- Waits for claims of these schedules that are under way, by schedules_by_executable: a pause counts for
-- every claim that comes after it.
SELECT id FROM schedules WHERE executable_id = :executable_id AND deleted_at IS NULL ORDER BY id FOR UPDATE;
