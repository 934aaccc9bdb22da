-- Waits for claims of these schedules under way, by schedules_by_executable, so that a pause holds for every
-- later claim.
SELECT id FROM schedules WHERE executable_id = :executable_id AND deleted_at IS NULL ORDER BY id FOR UPDATE;
