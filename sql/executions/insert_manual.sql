-- An execution started by hand. No row: the executable was deleted meanwhile.
-- PostgreSQL writes the event of it (audit_events/insert) in the same round trip.
--pg WITH made AS (
INSERT INTO executions (guid, executable_id, kind, state, asked_at, created_at, dispatch_time, request_id,
                        requested_by, share)
SELECT :guid, id, kind, 'PENDING', :now, :now, :now, :request_id, :requested_by, share
  FROM executables
 WHERE id = :executable_id AND deleted_at IS NULL
-- Waits for a deletion of the executable, but for no other change of it, such as that of a job's state.
--pg FOR KEY SHARE
RETURNING id
--pg ), noted AS (
--pg     INSERT INTO audit_events (guid, created_at, type, actor_guid, actor_type, actor_name, target_guid, target_type,
--pg                               target_name, data, space_guid, request_id)
--pg     SELECT CAST(:event_guid AS TEXT), CAST(:now AS BIGINT), CAST(:event_type AS TEXT), CAST(:actor_guid AS TEXT),
--pg            CAST(:actor_type AS TEXT), CAST(:actor_name AS TEXT), CAST(:target_guid AS TEXT),
--pg            CAST(:target_type AS TEXT), CAST(:target_name AS TEXT), CAST(:event_data AS TEXT),
--pg            CAST(:event_space AS TEXT), CAST(:event_request AS TEXT)
--pg       FROM made
--pg      WHERE CAST(:event_type AS TEXT) IS NOT NULL
--pg ) SELECT id FROM made
;
