-- What a client may change. No row: it, or its executable, was deleted meanwhile. In a suspended space it does not fire until
-- that goes on; the lock waits for whoever suspends it.
UPDATE schedules
   SET enabled = :enabled, expression = :expression, planned_at = :now, updated_at = :now,
       next_fire_time = CASE (SELECT p.is_suspended
                                FROM executables AS x JOIN service_spaces AS p ON p.space_guid = x.space_guid
                               WHERE x.id = executable_id FOR SHARE OF p)
                             WHEN TRUE THEN NULL ELSE CAST(:next_fire_time AS BIGINT) END
 WHERE id = :id AND deleted_at IS NULL
   AND EXISTS (SELECT 1 FROM executables AS x WHERE x.id = executable_id AND x.deleted_at IS NULL FOR KEY SHARE);
