-- Those of these notifications (a JSON array of ids) for which a recovery of a job or call waits to be sent,
-- by deliveries_waiting.
SELECT d.notification_id
  FROM deliveries AS d
 WHERE d.notification_id IN (SELECT value FROM json_each(:notification_ids)) --sqlite
--pg WHERE d.notification_id = ANY (ARRAY (SELECT CAST(value AS BIGINT)
--pg                                         FROM json_array_elements_text(CAST(:notification_ids AS JSON))))
   AND d.executable_id = :executable_id AND d.ended_at IS NULL AND d.event = 'recovered'
   AND (d.state = 'WAITING'
        OR d.state = 'FOLDED' AND EXISTS (SELECT 1 FROM deliveries AS s
                                           WHERE s.id = d.folded_into AND s.state = 'WAITING'));
