-- A page of the jobs or calls whose labels match :selector, oldest first: a walk in order of ids.
-- :space_guids is a JSON array; NULL: all spaces.
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
 WHERE x.kind = :kind AND x.deleted_at IS NULL
   AND (CAST(:space_guids AS TEXT) IS NULL --sqlite
        OR x.space_guid IN (SELECT value FROM json_each(:space_guids))) --sqlite
--pg AND (CAST(:space_guids AS TEXT) IS NULL
--pg      OR x.space_guid IN (SELECT value FROM json_array_elements_text(CAST(:space_guids AS JSON))))
   AND (CAST(:selector AS TEXT) IS NULL --sqlite
        OR CASE WHEN x.labels IS NULL THEN :takes_unlabelled --sqlite
           ELSE labels_match(x.labels, :selector) END) --sqlite
--pg AND (CAST(:selector AS TEXT) IS NULL
--pg      OR CASE WHEN x.labels IS NULL THEN CAST(:takes_unlabelled AS BIGINT) = 1 ELSE
--pg          x.labels LIKE ALL (ARRAY(SELECT '%' || replace(needle, '_', '\_') || '%'
--pg                                     FROM json_array_elements_text(CAST(:selector AS JSON)
--pg                                                                    -> 'present') AS p(needle)))
--pg      AND x.labels NOT LIKE ALL (ARRAY(SELECT '%' || replace(needle, '_', '\_') || '%'
--pg                                         FROM json_array_elements_text(CAST(:selector AS JSON)
--pg                                                                        -> 'absent') AS a(needle)))
--pg      AND NOT EXISTS (SELECT 1
--pg                      FROM json_array_elements(CAST(:selector AS JSON) -> 'choices') AS c(needles)
--pg                       WHERE NOT EXISTS (SELECT 1 FROM json_array_elements_text(c.needles) AS n(needle)
--pg                                          WHERE position(n.needle IN x.labels) > 0)) END)
   AND x.id > :after_id AND x.id <= :last_id
 ORDER BY x.id
 LIMIT :limit OFFSET :offset
--pg                ) AS page) AS measured
--pg  WHERE bytes_before IS NULL OR bytes_before < 65536
--pg  ORDER BY id
;
