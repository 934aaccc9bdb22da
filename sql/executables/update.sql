-- Writes what a client may change; the state belongs to the engine. Guarded by the updated_at that the client
-- saw, which grows with each update. No row: it was changed or deleted meanwhile.
UPDATE executables
   SET name = :name, app_guid = :app_guid, command = :command, disk_in_mb = :disk_in_mb,
       memory_in_mb = :memory_in_mb, url = :url, auth_header = :auth_header, method = :method,
       headers = :headers,
       body = :body, success_statuses = :success_statuses, signing_secret = :signing_secret,
       timeout_seconds = :timeout_seconds, concurrency_policy = :concurrency_policy,
       max_retries = :max_retries,
       backoff_seconds = :backoff_seconds, max_backoff_seconds = :max_backoff_seconds,
       max_age_seconds = :max_age_seconds,
       resumed_at = CASE WHEN paused AND NOT :paused THEN CAST(:updated_at AS BIGINT) ELSE resumed_at END,
       paused = :paused, labels = :labels, annotations = :annotations,
       expect_success_within_seconds = :expect_success_within_seconds, log_rate_in_bps = :log_rate_in_bps,
       updated_at = :updated_at
 WHERE id = :id AND updated_at = :seen_updated_at AND (state IS NULL OR state = :seen_state)
   AND deleted_at IS NULL;
