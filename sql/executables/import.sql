-- A job or call from another database, with its guid and times. No row: its guid exists here, or its name is
-- taken.
INSERT INTO executables (guid, kind, name, app_guid, space_guid, command, disk_in_mb, memory_in_mb, state,
                         url, auth_header, method, headers, body, success_statuses, signing_secret,
                         timeout_seconds, concurrency_policy, max_retries, backoff_seconds,
                         max_backoff_seconds, max_age_seconds, paused, labels, annotations,
                         expect_success_within_seconds, log_rate_in_bps, created_at,
                         updated_at)
VALUES (:guid, :kind, :name, :app_guid, :space_guid, :command, :disk_in_mb, :memory_in_mb, :state, :url,
        :auth_header, :method, :headers, :body, :success_statuses, :signing_secret, :timeout_seconds,
        :concurrency_policy, :max_retries, :backoff_seconds, :max_backoff_seconds, :max_age_seconds, :paused,
        :labels, :annotations, :expect_success_within_seconds, :log_rate_in_bps, :created_at, :updated_at)
-- The unique index of guids or of names refuses duplicates.
    ON CONFLICT DO NOTHING;
