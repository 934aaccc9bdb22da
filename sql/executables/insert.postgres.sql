-- Several at once, with their audit events (audit_events/insert). No row: the name is taken, by
-- executables_by_name, perhaps by another one in the same statement.
WITH given AS MATERIALIZED (
         SELECT *
           FROM json_to_recordset(CAST(:rows AS JSON))
             AS r (n BIGINT, guid TEXT, kind TEXT, name TEXT, app_guid TEXT, space_guid TEXT, command TEXT,
                   disk_in_mb BIGINT, memory_in_mb BIGINT, state TEXT, url TEXT, auth_header TEXT,
                   method TEXT, headers TEXT, body TEXT, success_statuses TEXT, signing_secret TEXT,
                   timeout_seconds BIGINT, concurrency_policy TEXT, max_retries BIGINT,
                   backoff_seconds BIGINT, max_backoff_seconds BIGINT, max_age_seconds BIGINT, paused BOOLEAN,
                   labels TEXT, annotations TEXT, expect_success_within_seconds BIGINT,
                   log_rate_in_bps BIGINT, now BIGINT, event_guid TEXT, event_type TEXT, actor_guid TEXT,
                   actor_type TEXT, actor_name TEXT, target_guid TEXT, target_type TEXT, target_name TEXT,
                   event_data TEXT, event_space TEXT, event_request TEXT
                  )),
     made AS (
         INSERT INTO executables (guid, kind, name, app_guid, space_guid, command, disk_in_mb, memory_in_mb,
                                  state, url, auth_header, method, headers, body, success_statuses,
                                  signing_secret, timeout_seconds, concurrency_policy, max_retries,
                                  backoff_seconds, max_backoff_seconds, max_age_seconds, paused, labels,
                                  annotations, expect_success_within_seconds,
                                  log_rate_in_bps, created_at, updated_at)
         SELECT guid, kind, name, app_guid, space_guid, command, disk_in_mb, memory_in_mb, state, url,
                auth_header, method, headers, body, success_statuses, signing_secret, timeout_seconds,
                concurrency_policy, max_retries, backoff_seconds, max_backoff_seconds, max_age_seconds,
                paused, labels, annotations, expect_success_within_seconds, log_rate_in_bps, now, now
           FROM given
          ORDER BY n
             ON CONFLICT (app_guid, kind, name) WHERE deleted_at IS NULL DO NOTHING
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
