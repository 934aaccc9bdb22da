-- No row: the executable was deleted meanwhile, which the lock waits for. In a suspended space it does not fire until that
-- goes on; that lock waits for whoever suspends the space.
INSERT INTO schedules (guid, executable_id, enabled, expression, next_fire_time, planned_at, created_at, updated_at)
SELECT :guid, id, :enabled, :expression,
       CASE (SELECT p.is_suspended FROM service_spaces AS p WHERE p.space_guid = executables.space_guid FOR SHARE)
            WHEN TRUE THEN NULL ELSE CAST(:next_fire_time AS BIGINT) END,
       :now, :now, :now
  FROM executables
 WHERE id = :executable_id AND deleted_at IS NULL
   FOR KEY SHARE
RETURNING id;
