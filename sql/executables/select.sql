-- A page of those whose labels are as :selector says, oldest first: a walk in the order of ids. :space_guids
-- is a JSON array; NULL: all spaces.
--
-- PostgreSQL sends every row that a statement yields, however few of them the caller reads. So there it stops
-- once the long texts reach 64 KiB (twice PART_BYTES, for its encoding can be longer), and yields at least
-- one row.
--pg SELECT id, guid, kind, name, app_guid, space_guid, command, disk_in_mb, memory_in_mb, state, url, auth_header,
--pg        method, headers, body, success_statuses, signing_secret, timeout_seconds, concurrency_policy,
--pg        max_retries, backoff_seconds, max_backoff_seconds, max_age_seconds, paused, labels, annotations,
--pg        expect_success_within_seconds, log_rate_in_bps, created_at, updated_at
--pg   FROM (SELECT page.*, SUM(octet_length(concat(command, url, auth_header, headers, body, labels, annotations)))
--pg                            OVER (ORDER BY id ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS bytes_before
--pg           FROM (
SELECT x.id, x.guid, x.kind, x.name, x.app_guid, x.space_guid, x.command, x.disk_in_mb, x.memory_in_mb, x.state,
       x.url, x.auth_header, x.method, x.headers, x.body, x.success_statuses, x.signing_secret, x.timeout_seconds,
       x.concurrency_policy, x.max_retries, x.backoff_seconds, x.max_backoff_seconds, x.max_age_seconds, x.paused,
       x.labels, x.annotations, x.expect_success_within_seconds, x.log_rate_in_bps, x.created_at, x.updated_at
  FROM executables AS x
 WHERE x.kind = :kind AND x.deleted_at IS NULL
   AND (CAST(:space_guids AS TEXT) IS NULL OR x.space_guid IN (SELECT value FROM json_each(:space_guids))) --sqlite
--pg AND (CAST(:space_guids AS TEXT) IS NULL OR x.space_guid IN (SELECT value FROM json_array_elements_text(CAST(:space_guids AS JSON))))
   AND (CAST(:selector AS TEXT) IS NULL OR CASE WHEN x.labels IS NULL THEN :takes_unlabelled ELSE NOT EXISTS (SELECT 1 FROM json_each(:selector) AS r --sqlite
         WHERE CASE r.value ->> 'op' WHEN 'has' THEN json_extract(x.labels, r.value ->> 'path') IS NULL --sqlite
                    WHEN 'lacks' THEN json_extract(x.labels, r.value ->> 'path') IS NOT NULL --sqlite
                    WHEN 'in' THEN COALESCE(json_extract(x.labels, r.value ->> 'path') NOT IN (SELECT v.value FROM json_each(r.value -> 'values') AS v), 1) --sqlite
                    ELSE COALESCE(json_extract(x.labels, r.value ->> 'path') IN (SELECT v.value FROM json_each(r.value -> 'values') AS v), 0) END) END) --sqlite
--pg AND (CAST(:selector AS TEXT) IS NULL OR CASE WHEN x.labels IS NULL THEN CAST(:takes_unlabelled AS BIGINT) = 1 ELSE NOT EXISTS (SELECT 1 FROM json_array_elements(CAST(:selector AS JSON)) AS r(value)
--pg      WHERE CASE r.value ->> 'op' WHEN 'has' THEN CAST(x.labels AS JSON) ->> (r.value ->> 'key') IS NULL
--pg                 WHEN 'lacks' THEN CAST(x.labels AS JSON) ->> (r.value ->> 'key') IS NOT NULL
--pg                 WHEN 'in' THEN COALESCE(CAST(x.labels AS JSON) ->> (r.value ->> 'key') NOT IN (SELECT v.value FROM json_array_elements_text(r.value -> 'values') AS v(value)), TRUE)
--pg                 ELSE COALESCE(CAST(x.labels AS JSON) ->> (r.value ->> 'key') IN (SELECT v.value FROM json_array_elements_text(r.value -> 'values') AS v(value)), FALSE) END) END)
   AND x.id > :after_id AND x.id <= :last_id
 ORDER BY x.id
 LIMIT :limit OFFSET :offset
--pg                ) AS page) AS measured
--pg  WHERE bytes_before IS NULL OR bytes_before < 65536
--pg  ORDER BY id
;
