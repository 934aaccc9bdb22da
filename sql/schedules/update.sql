-- Writes what a client may change, by primary key, guarded by the updated_at that the client saw, which grows
-- with each update. No row: the schedule or its executable was changed or deleted meanwhile. In a suspended
-- space it does not fire until the space is resumed; the locks wait for a transaction that suspends the space
-- or deletes the executable.
UPDATE schedules
   SET enabled = :enabled, expression = :expression, dialect = :dialect, timezone = :timezone,
       starts_at = :starts_at,
       ends_at = :ends_at, jitter_seconds = :jitter_seconds, misfire_policy = :misfire_policy,
       description = :description, key = :key, completed_at = :completed_at, planned_at = :now,
       updated_at = :updated_at,
       next_fire_time = CASE WHEN CAST(:next_fire_time AS BIGINT) IS NULL THEN NULL
                             WHEN (SELECT p.is_suspended
                                FROM executables AS x JOIN service_spaces AS p ON p.space_guid = x.space_guid
                               WHERE x.id = executable_id
--pg FOR SHARE OF p
                             ) THEN NULL ELSE CAST(:next_fire_time AS BIGINT) END
 WHERE id = :id AND updated_at = :seen_updated_at AND deleted_at IS NULL
   AND EXISTS (SELECT 1 FROM executables AS x WHERE x.id = executable_id AND x.deleted_at IS NULL
--pg FOR KEY SHARE
       );
