-- No row: the name is taken, by executables_by_name.
-- PostgreSQL writes the event of it (audit_events/insert) in the same round trip.
--pg WITH made AS (
INSERT INTO executables (guid, kind, name, app_guid, space_guid, command, disk_in_mb, memory_in_mb, state, url,
                         auth_header, method, headers, body, success_statuses, signing_secret, timeout_seconds,
                         concurrency_policy, max_retries, backoff_seconds, max_backoff_seconds, max_age_seconds,
                         paused, labels, annotations, expect_success_within_seconds, log_rate_in_bps, created_at,
                         updated_at)
VALUES (:guid, :kind, :name, :app_guid, :space_guid, :command, :disk_in_mb, :memory_in_mb, :state, :url,
        :auth_header, :method, :headers, :body, :success_statuses, :signing_secret, :timeout_seconds,
        :concurrency_policy, :max_retries, :backoff_seconds, :max_backoff_seconds, :max_age_seconds, :paused,
        :labels, :annotations, :expect_success_within_seconds, :log_rate_in_bps, :now, :now)
    ON CONFLICT (app_guid, kind, name) WHERE deleted_at IS NULL DO NOTHING
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
