-- Like find.sql, among the executions of one job or call, by executions_by_executable.
SELECT e.id, e.guid, s.guid AS schedule_guid, e.scheduled_time,
       CASE WHEN e.state = 'PENDING' AND e.id <= s.cancelled_up_to THEN 'FAILED' ELSE e.state END AS state,
       e.note,
       CASE WHEN e.state = 'PENDING' AND e.id <= s.cancelled_up_to THEN s.cancel_reason
           ELSE e.message END AS message,
       e.task_guid, e.start_time,
       CASE WHEN e.state = 'PENDING' AND e.id <= s.cancelled_up_to THEN s.cancelled_at
           ELSE e.end_time END AS end_time,
       CASE WHEN e.state = 'PENDING' AND e.id <= s.cancelled_up_to THEN 'cancelled'
           ELSE e.reason END AS reason,
       e.requested_by, e.attempt, e.more_skipped, e.more_fire_times, e.kind, e.created_at,
       x.guid AS executable_guid, x.name, x.app_guid, x.space_guid, e.attempt_start_time,
       e.cancel_requested_at, e.app_guid AS ran_in
  FROM executions AS e
 CROSS JOIN executables AS x --sqlite
  LEFT JOIN schedules AS s ON s.id = e.schedule_id --sqlite
-- OFFSET 0 keeps the planner to joins by primary key: with the statistics of a smaller table it compared each
-- row with every other.
--pg CROSS JOIN LATERAL (SELECT * FROM executables WHERE id = e.executable_id OFFSET 0) AS x
--pg LEFT JOIN LATERAL (SELECT * FROM schedules WHERE id = e.schedule_id OFFSET 0) AS s ON TRUE
 WHERE e.executable_id = :executable_id AND e.id < :before_id
   AND x.id = e.executable_id AND (x.deleted_at IS NULL) IS TRUE
   AND (CAST(:spaces AS TEXT) IS NULL OR x.space_guid IN (SELECT value FROM json_each(:spaces))) --sqlite
--pg AND (CAST(:spaces AS TEXT) IS NULL
--pg      OR x.space_guid IN (SELECT value FROM json_array_elements_text(CAST(:spaces AS JSON))))
   AND (CAST(:states AS TEXT) IS NULL OR e.state = 'PENDING' --sqlite
        OR e.state IN (SELECT value FROM json_each(:states))) --sqlite
--pg AND (CAST(:states AS TEXT) IS NULL OR e.state = 'PENDING'
--pg      OR e.state IN (SELECT value FROM json_array_elements_text(CAST(:states AS JSON))))
   AND (CAST(:states AS TEXT) IS NULL --sqlite
        OR CASE WHEN e.state = 'PENDING' AND e.id <= s.cancelled_up_to THEN 'FAILED' --sqlite
           ELSE e.state END IN (SELECT value FROM json_each(:states))) --sqlite
--pg AND (CAST(:states AS TEXT) IS NULL
--pg      OR CASE WHEN e.state = 'PENDING' AND e.id <= s.cancelled_up_to THEN 'FAILED'
--pg         ELSE e.state END IN (SELECT value FROM json_array_elements_text(CAST(:states AS JSON))))
   AND (CAST(:executables AS TEXT) IS NULL OR x.guid IN (SELECT value FROM json_each(:executables))) --sqlite
--pg AND (CAST(:executables AS TEXT) IS NULL
--pg      OR x.guid IN (SELECT value FROM json_array_elements_text(CAST(:executables AS JSON))))
   AND (CAST(:schedules AS TEXT) IS NULL OR s.guid IN (SELECT value FROM json_each(:schedules))) --sqlite
--pg AND (CAST(:schedules AS TEXT) IS NULL
--pg      OR s.guid IN (SELECT value FROM json_array_elements_text(CAST(:schedules AS JSON))))
   AND (CAST(:reasons AS TEXT) IS NULL OR e.state = 'PENDING' --sqlite
        OR e.reason IN (SELECT value FROM json_each(:reasons))) --sqlite
--pg AND (CAST(:reasons AS TEXT) IS NULL OR e.state = 'PENDING'
--pg      OR e.reason IN (SELECT value FROM json_array_elements_text(CAST(:reasons AS JSON))))
   AND (CAST(:reasons AS TEXT) IS NULL --sqlite
        OR CASE WHEN e.state = 'PENDING' AND e.id <= s.cancelled_up_to THEN 'cancelled' --sqlite
           ELSE e.reason END IN (SELECT value FROM json_each(:reasons))) --sqlite
--pg AND (CAST(:reasons AS TEXT) IS NULL
--pg      OR CASE WHEN e.state = 'PENDING' AND e.id <= s.cancelled_up_to THEN 'cancelled'
--pg         ELSE e.reason END IN (SELECT value FROM json_array_elements_text(CAST(:reasons AS JSON))))
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
   AND (CAST(:kind AS TEXT) IS NULL OR e.kind = :kind)
   AND (CAST(:schedule_id AS BIGINT) IS NULL OR e.schedule_id = :schedule_id)
   AND (CAST(:by_schedule AS BIGINT) IS NULL
        OR CASE WHEN e.schedule_id IS NULL THEN 0 ELSE 1 END = :by_schedule)
   AND (CAST(:created_after AS BIGINT) IS NULL OR e.created_at > :created_after)
   AND (CAST(:created_before AS BIGINT) IS NULL OR e.created_at < :created_before)
   AND (CAST(:ended_after AS BIGINT) IS NULL OR e.state = 'PENDING' OR e.end_time > :ended_after)
   AND (CAST(:ended_after AS BIGINT) IS NULL
        OR CASE WHEN e.state = 'PENDING' AND e.id <= s.cancelled_up_to THEN s.cancelled_at
           ELSE e.end_time END > :ended_after)
   AND (CAST(:ended_before AS BIGINT) IS NULL OR e.state = 'PENDING' OR e.end_time < :ended_before)
   AND (CAST(:ended_before AS BIGINT) IS NULL
        OR CASE WHEN e.state = 'PENDING' AND e.id <= s.cancelled_up_to THEN s.cancelled_at
           ELSE e.end_time END < :ended_before)
 ORDER BY e.id DESC
 LIMIT :limit OFFSET :offset;
