-- A schedule from another database, with its guid and times. No row: its guid or key exists here, or its
-- executable is missing. In a suspended space it does not fire until the space is resumed; the lock waits for
-- a transaction that suspends the space.
INSERT INTO schedules (guid, executable_id, enabled, expression, dialect, timezone, starts_at, ends_at,
                       jitter_seconds,
                       misfire_policy, description, key, completed_at, next_fire_time, planned_at, created_at,
                       updated_at)
SELECT :guid, id, :enabled, :expression, :dialect, :timezone, :starts_at, :ends_at, :jitter_seconds,
       :misfire_policy, :description, :key, :completed_at,
       CASE (SELECT p.is_suspended FROM service_spaces AS p WHERE p.space_guid = executables.space_guid
--pg FOR SHARE
            ) WHEN TRUE THEN NULL ELSE CAST(:next_fire_time AS BIGINT) END,
       :now, :created_at, :updated_at
  FROM executables
 WHERE guid = :executable_guid AND kind = :kind AND deleted_at IS NULL
    ON CONFLICT DO NOTHING;
