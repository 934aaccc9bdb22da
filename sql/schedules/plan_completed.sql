-- Plans a completed schedule again after the clock was set back. Guarded by the completion that was seen: no
-- row if it was changed or deleted meanwhile. In a suspended space it does not fire until the space is
-- resumed; the locks wait for a transaction that suspends the space or deletes the executable.
UPDATE schedules
   SET planned_at = CAST(:now AS BIGINT),
       completed_at = CASE WHEN CAST(:next_fire_time AS BIGINT) IS NULL THEN CAST(:now AS BIGINT) END,
       next_fire_time = CASE WHEN CAST(:next_fire_time AS BIGINT) IS NULL THEN NULL
                             WHEN (SELECT p.is_suspended
                                     FROM executables AS x JOIN service_spaces AS p
                                          ON p.space_guid = x.space_guid
                                    WHERE x.id = executable_id
--pg FOR SHARE OF p
                                  ) THEN NULL ELSE CAST(:next_fire_time AS BIGINT) END
 WHERE id = :id AND completed_at = :completed_at AND next_fire_time IS NULL AND deleted_at IS NULL
   AND EXISTS (SELECT 1 FROM executables AS x WHERE x.id = executable_id AND x.deleted_at IS NULL
--pg FOR KEY SHARE
       );
