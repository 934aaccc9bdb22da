-- A page of all jobs or calls, oldest first, by executables_by_kind.
--
-- PostgreSQL sends every row that a statement yields, even if the caller reads only a few. So its statement
-- stops once the long texts reach 64 KiB (twice PART_BYTES, because its encoding can be longer), but yields
-- at least one row.
--pg SELECT id, guid, kind, name, app_guid, space_guid, command, disk_in_mb, memory_in_mb, state, url,
--pg        auth_header, method, headers, body, success_statuses, signing_secret, timeout_seconds,
--pg        concurrency_policy, max_retries, backoff_seconds, max_backoff_seconds, max_age_seconds, paused,
--pg        labels, annotations, expect_success_within_seconds, log_rate_in_bps, created_at, updated_at
--pg   FROM (SELECT page.*, SUM(octet_length(concat(command, url, auth_header, headers, body, labels,
--pg                                                annotations)))
--pg                            OVER (ORDER BY id ROWS BETWEEN UNBOUNDED PRECEDING
--pg                                  AND 1 PRECEDING) AS bytes_before
--pg           FROM (
SELECT x.id, x.guid, x.kind, x.name, x.app_guid, x.space_guid, x.command, x.disk_in_mb, x.memory_in_mb,
       x.state, x.url, x.auth_header, x.method, x.headers, x.body, x.success_statuses, x.signing_secret,
       x.timeout_seconds, x.concurrency_policy, x.max_retries, x.backoff_seconds, x.max_backoff_seconds,
       x.max_age_seconds, x.paused, x.labels, x.annotations, x.expect_success_within_seconds,
       x.log_rate_in_bps, x.created_at, x.updated_at
  FROM executables AS x
 WHERE x.kind = :kind AND x.deleted_at IS NULL AND x.id > :after_id AND x.id <= :last_id
 ORDER BY x.id
 LIMIT :limit OFFSET :offset
--pg                ) AS page) AS measured
--pg  WHERE bytes_before IS NULL OR bytes_before < 65536
--pg  ORDER BY id
;
