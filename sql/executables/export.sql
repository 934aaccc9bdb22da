-- A batch of jobs and calls, by key, for another database.
SELECT id, guid, kind, name, app_guid, space_guid, command, disk_in_mb, memory_in_mb, state, url, auth_header,
       method, headers, body, success_statuses, signing_secret, timeout_seconds, concurrency_policy,
       max_retries, backoff_seconds, max_backoff_seconds, max_age_seconds, paused, labels, annotations,
       expect_success_within_seconds, log_rate_in_bps, created_at, updated_at
  FROM executables
 WHERE id > :after_id AND deleted_at IS NULL
 ORDER BY id
 LIMIT :limit;
