-- For some jobs or calls (a JSON array of ids): the next fire time, by schedules_by_executable, and the
-- newest execution that was not skipped, by executions_by_executable. An execution cancelled by a mark on its
-- schedule counts as FAILED, even before its own row says so.
SELECT x.id,
       (SELECT MIN(n.next_fire_time) FROM schedules AS n WHERE n.executable_id = x.id
        AND n.deleted_at IS NULL) AS next_fire_time, e.guid,
       CASE WHEN e.state = 'PENDING' AND e.id <= s.cancelled_up_to THEN 'FAILED' ELSE e.state END AS state,
       CASE WHEN e.state = 'PENDING' AND e.id <= s.cancelled_up_to THEN s.cancelled_at
           ELSE e.end_time END AS end_time
  FROM (SELECT value AS id FROM json_each(:ids)) AS x --sqlite
--pg FROM (SELECT CAST(value AS BIGINT) AS id FROM json_array_elements_text(CAST(:ids AS JSON))) AS x
  LEFT JOIN executions AS e ON e.id = (SELECT l.id
                                         FROM executions AS l
                                        WHERE l.executable_id = x.id AND l.state <> 'SKIPPED'
                                        ORDER BY l.executable_id DESC, l.id DESC
                                        LIMIT 1)
  LEFT JOIN schedules AS s ON s.id = e.schedule_id;
