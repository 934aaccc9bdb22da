-- What a client may change. No row: it, or its executable, was deleted meanwhile.
UPDATE schedules
   SET enabled = :enabled, expression = :expression, next_fire_time = :next_fire_time, planned_at = :now,
       updated_at = :now
 WHERE id = :id AND deleted_at IS NULL
   AND EXISTS (SELECT 1 FROM executables AS x WHERE x.id = executable_id AND x.deleted_at IS NULL FOR SHARE);
