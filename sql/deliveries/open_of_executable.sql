-- Those of these notifications (a JSON array of ids) with a delivery about a job or call that has not ended,
-- by deliveries_waiting.
SELECT DISTINCT d.notification_id
  FROM deliveries AS d
 WHERE d.notification_id IN (SELECT value FROM json_each(:notification_ids)) --sqlite
--pg WHERE d.notification_id = ANY (ARRAY (SELECT CAST(value AS BIGINT)
--pg                                         FROM json_array_elements_text(CAST(:notification_ids AS JSON))))
   AND d.executable_id = :executable_id AND d.ended_at IS NULL;
