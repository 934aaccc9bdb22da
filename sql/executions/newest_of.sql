-- The newest :limit executions of a job or call, by executions_by_executable. An execution cancelled by a mark
-- on its schedule counts as FAILED, even before its own row says so.
SELECT e.guid, e.start_time,
       CASE WHEN e.state = 'PENDING' AND e.id <= s.cancelled_up_to THEN 'FAILED' ELSE e.state END AS state,
       CASE WHEN e.state = 'PENDING' AND e.id <= s.cancelled_up_to THEN s.cancel_reason
           ELSE e.message END AS message,
       CASE WHEN e.state = 'PENDING' AND e.id <= s.cancelled_up_to THEN s.cancelled_at
           ELSE e.end_time END AS end_time
  FROM executions AS e
  LEFT JOIN schedules AS s ON s.id = e.schedule_id --sqlite
--pg LEFT JOIN LATERAL (SELECT * FROM schedules WHERE id = e.schedule_id OFFSET 0) AS s ON TRUE
 WHERE e.executable_id = (SELECT id FROM executables WHERE guid = :executable_guid)
 ORDER BY e.id DESC
 LIMIT :limit;
