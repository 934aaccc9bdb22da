-- No row: the executable was deleted meanwhile, or another of its schedules has the key. In a suspended space
-- it does not fire until the space is resumed; the lock waits for a transaction that suspends the space.
-- PostgreSQL also writes the audit event (audit_events/insert) in the same round trip.
--pg WITH made AS (
INSERT INTO schedules (guid, executable_id, enabled, expression, dialect, timezone, starts_at, ends_at,
                       jitter_seconds,
                       misfire_policy, description, key, completed_at, next_fire_time, planned_at, created_at,
                       updated_at)
SELECT :guid, id, :enabled, :expression, :dialect, :timezone, :starts_at, :ends_at, :jitter_seconds,
       :misfire_policy, :description, :key, :completed_at,
       CASE (SELECT p.is_suspended FROM service_spaces AS p WHERE p.space_guid = executables.space_guid
--pg FOR SHARE
            ) WHEN TRUE THEN NULL ELSE CAST(:next_fire_time AS BIGINT) END,
       :now, :now, :now
  FROM executables
 WHERE id = :executable_id AND deleted_at IS NULL
-- Waits for a deletion of the executable.
--pg FOR KEY SHARE
    ON CONFLICT (executable_id, key) WHERE key IS NOT NULL AND deleted_at IS NULL DO NOTHING
RETURNING id
--pg ), noted AS (
--pg     INSERT INTO audit_events (guid, created_at, type, actor_guid, actor_type, actor_name, target_guid,
--pg                               target_type,
--pg                               target_name, data, space_guid, request_id)
--pg     SELECT CAST(:event_guid AS TEXT), CAST(:now AS BIGINT), CAST(:event_type AS TEXT),
--pg            CAST(:actor_guid AS TEXT),
--pg            CAST(:actor_type AS TEXT), CAST(:actor_name AS TEXT), CAST(:target_guid AS TEXT),
--pg            CAST(:target_type AS TEXT), CAST(:target_name AS TEXT), CAST(:event_data AS TEXT),
--pg            CAST(:event_space AS TEXT), CAST(:event_request AS TEXT)
--pg       FROM made
--pg      WHERE CAST(:event_type AS TEXT) IS NOT NULL
--pg ) SELECT id FROM made
;
