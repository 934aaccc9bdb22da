-- The active alerts of these jobs and calls (a JSON array of ids), by alerts_by_executable.
SELECT a.notification_id, a.executable_id, a.event, a.since, a.is_told
  FROM alerts AS a
 WHERE a.executable_id IN (SELECT value FROM json_each(:ids)) --sqlite
--pg WHERE a.executable_id = ANY (ARRAY (SELECT CAST(value AS BIGINT)
--pg                                       FROM json_array_elements_text(CAST(:ids AS JSON))))
 ORDER BY a.notification_id, a.executable_id, a.event;
