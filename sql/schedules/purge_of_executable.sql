-- A batch of the schedules of a deleted executable, after its executions are gone.
DELETE FROM schedules
 WHERE id IN (SELECT id FROM schedules WHERE executable_id = :executable_id ORDER BY id LIMIT :limit);
