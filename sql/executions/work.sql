-- What executions (a JSON array of ids) are to do, by primary key. Long texts are read only for executions
-- that are dispatched.
SELECT e.id, e.attempt, e.start_time, x.concurrency_policy, x.max_retries, x.backoff_seconds,
       x.max_backoff_seconds, x.max_age_seconds, x.kind, x.command, x.disk_in_mb, x.memory_in_mb, x.state,
       x.url, x.auth_header, x.method, x.headers, x.body, x.success_statuses, x.signing_secret,
       x.timeout_seconds, x.log_rate_in_bps
  FROM executions AS e CROSS JOIN executables AS x
 WHERE e.id IN (SELECT value FROM json_each(:ids)) --sqlite
--pg WHERE e.id = ANY (ARRAY (SELECT CAST(value AS BIGINT) FROM json_array_elements_text(CAST(:ids AS JSON))))
   AND x.id = e.executable_id AND x.deleted_at IS NULL;
