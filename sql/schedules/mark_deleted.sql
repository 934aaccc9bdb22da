-- Only marks the row, because past executions refer to it. No row: it was changed or deleted meanwhile.
UPDATE schedules SET deleted_at = :now, next_fire_time = NULL
 WHERE id = :id AND updated_at = :seen_updated_at AND deleted_at IS NULL;
