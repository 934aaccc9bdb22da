-- Several at once, each by the unique index of guid: IS TRUE keeps the planner from choosing another index.
-- :kind keeps a job from being found as a call, and a call as a job.
SELECT r.n, x.id, x.guid, x.kind, x.name, x.app_guid, x.space_guid, x.command, x.disk_in_mb, x.memory_in_mb,
       x.state, x.url, x.auth_header, x.method, x.headers, x.body, x.success_statuses, x.signing_secret,
       x.timeout_seconds, x.concurrency_policy, x.max_retries, x.backoff_seconds, x.max_backoff_seconds,
       x.max_age_seconds, x.paused, x.labels, x.annotations, x.expect_success_within_seconds,
       x.log_rate_in_bps, x.created_at, x.updated_at
  FROM json_to_recordset(CAST(:rows AS JSON)) AS r (n BIGINT, guid TEXT, kind TEXT)
  CROSS JOIN executables AS x
 WHERE x.guid = r.guid AND (x.kind = r.kind) IS TRUE AND x.deleted_at IS NULL;
