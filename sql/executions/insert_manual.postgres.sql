-- Several executions started by hand, with their audit events (audit_events/insert). No row: the executable
-- was deleted meanwhile. The lock waits for a deletion, but not for other changes such as that of a job's
-- state.
WITH given AS MATERIALIZED (
         SELECT *
           FROM json_to_recordset(CAST(:rows AS JSON))
             AS r (n BIGINT, guid TEXT, executable_id BIGINT, now BIGINT, request_id TEXT, requested_by TEXT,
                   event_guid TEXT, event_type TEXT, actor_guid TEXT, actor_type TEXT, actor_name TEXT,
                   target_guid TEXT, target_type TEXT, target_name TEXT, event_data TEXT, event_space TEXT,
                   event_request TEXT
                  )),
     found AS MATERIALIZED (
         SELECT id, kind, share
           FROM executables
          WHERE id = ANY (ARRAY (SELECT executable_id FROM given)) AND deleted_at IS NULL
          ORDER BY id
            FOR KEY SHARE),
     made AS (
         INSERT INTO executions (guid, executable_id, kind, state, asked_at, created_at, dispatch_time,
                                 request_id,
                                 requested_by, share)
         SELECT g.guid, found.id, found.kind, 'PENDING', g.now, g.now, g.now, g.request_id, g.requested_by,
                found.share
           FROM given AS g JOIN found ON found.id = g.executable_id
          ORDER BY g.n
         RETURNING id, guid),
     noted AS (
         INSERT INTO audit_events (guid, created_at, type, actor_guid, actor_type, actor_name, target_guid,
                                   target_type, target_name, data, space_guid, request_id)
         SELECT g.event_guid, g.now, g.event_type, g.actor_guid, g.actor_type, g.actor_name, g.target_guid,
                g.target_type, g.target_name, g.event_data, g.event_space, g.event_request
           FROM given AS g JOIN made ON made.guid = g.guid
          WHERE g.event_type IS NOT NULL
          ORDER BY g.n)
SELECT g.n, made.id FROM given AS g JOIN made ON made.guid = g.guid;
