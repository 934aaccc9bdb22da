-- Which of these executions (a JSON array of ids) count for alerts: their space has a notification, by
-- notifications_by_name, or they are expected to succeed. The others need no further statement.
SELECT e.id, e.guid, e.executable_id, s.guid AS schedule_guid, e.scheduled_time, e.start_time, e.end_time,
       e.reason, e.message,
       x.guid AS executable_guid, x.kind, x.name, x.app_guid, x.space_guid, x.labels,
       x.expect_success_within_seconds
  FROM executions AS e CROSS JOIN executables AS x
  LEFT JOIN schedules AS s ON s.id = e.schedule_id
 WHERE e.id IN (SELECT value FROM json_each(:ids)) --sqlite
--pg WHERE e.id = ANY (ARRAY (SELECT CAST(value AS BIGINT) FROM json_array_elements_text(CAST(:ids AS JSON))))
   AND x.id = e.executable_id AND x.deleted_at IS NULL
   AND (EXISTS (SELECT 1 FROM notifications AS n WHERE n.space_guid = x.space_guid)
        OR EXISTS (SELECT 1 FROM streaks AS k WHERE k.executable_id = x.id AND k.expected_since IS NOT NULL))
 ORDER BY e.executable_id, e.id;
