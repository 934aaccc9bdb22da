-- What a client may change. No row: it was deleted meanwhile.
UPDATE schedules
   SET enabled = :enabled, expression = :expression, next_fire_time = :next_fire_time, planned_at = :now,
       updated_at = :now
 WHERE id = :id AND deleted_at IS NULL;
