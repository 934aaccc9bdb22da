-- What a client may change. No row: it was deleted meanwhile. The state is the engine's alone.
UPDATE executables
   SET name = :name, app_guid = :app_guid, command = :command, disk_in_mb = :disk_in_mb,
       memory_in_mb = :memory_in_mb, url = :url, auth_header = :auth_header, method = :method, headers = :headers,
       body = :body, success_statuses = :success_statuses, signing_secret = :signing_secret,
       timeout_seconds = :timeout_seconds, concurrency_policy = :concurrency_policy, max_retries = :max_retries,
       backoff_seconds = :backoff_seconds, max_backoff_seconds = :max_backoff_seconds,
       max_age_seconds = :max_age_seconds, paused = :paused, labels = :labels, annotations = :annotations,
       expect_success_within_seconds = :expect_success_within_seconds, updated_at = :now
 WHERE id = :id AND deleted_at IS NULL;
