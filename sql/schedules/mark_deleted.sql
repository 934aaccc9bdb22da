-- A mark, since executions of the past refer to it. No row: it was deleted already.
UPDATE schedules SET deleted_at = :now, next_fire_time = NULL WHERE id = :id AND deleted_at IS NULL;
