-- A new schedule. No row: the executable was deleted meanwhile. In a suspended space it does not fire until
-- the space is resumed; the lock waits for a transaction that suspends it.
INSERT INTO schedules (guid, executable_id, enabled, expression, dialect, timezone, starts_at, ends_at, jitter_seconds,
                       misfire_policy, description, completed_at, next_fire_time, planned_at, created_at, updated_at)
SELECT :guid, id, :enabled, :expression, :dialect, :timezone, :starts_at, :ends_at, :jitter_seconds, :misfire_policy,
       :description, :completed_at,
       CASE (SELECT p.is_suspended FROM service_spaces AS p WHERE p.space_guid = executables.space_guid
--pg FOR SHARE
            ) WHEN TRUE THEN NULL ELSE CAST(:next_fire_time AS BIGINT) END,
       :now, :now, :now
  FROM executables
 WHERE id = :executable_id AND deleted_at IS NULL
-- Waits for a deletion of the executable.
--pg FOR KEY SHARE
RETURNING id;
