-- No row: the name is taken (executables_by_name).
INSERT INTO executables (guid, kind, name, app_guid, space_guid, command, disk_in_mb, memory_in_mb, state,
                         url, auth_header, method, headers, body, success_statuses, signing_secret,
                         timeout_seconds, concurrency_policy, max_retries, backoff_seconds,
                         max_backoff_seconds, max_age_seconds, paused, labels, annotations,
                         expect_success_within_seconds, log_rate_in_bps, created_at,
                         updated_at)
VALUES (:guid, :kind, :name, :app_guid, :space_guid, :command, :disk_in_mb, :memory_in_mb, :state, :url,
        :auth_header, :method, :headers, :body, :success_statuses, :signing_secret, :timeout_seconds,
        :concurrency_policy, :max_retries, :backoff_seconds, :max_backoff_seconds, :max_age_seconds, :paused,
        :labels, :annotations, :expect_success_within_seconds, :log_rate_in_bps, :now, :now)
    ON CONFLICT (app_guid, kind, name) WHERE deleted_at IS NULL DO NOTHING
RETURNING id;
