-- By the unique index of names.
SELECT x.id, x.guid, x.kind, x.name, x.app_guid, x.space_guid, x.command, x.disk_in_mb, x.memory_in_mb,
       x.state, x.url, x.auth_header, x.method, x.headers, x.body, x.success_statuses, x.signing_secret,
       x.timeout_seconds, x.concurrency_policy, x.max_retries, x.backoff_seconds, x.max_backoff_seconds,
       x.max_age_seconds, x.paused, x.labels, x.annotations, x.expect_success_within_seconds,
       x.log_rate_in_bps, x.created_at, x.updated_at
  FROM executables AS x
 WHERE x.app_guid = :app_guid AND x.kind = :kind AND x.name = :name AND x.deleted_at IS NULL;
