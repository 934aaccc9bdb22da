-- Runs before newer deliveries supersede waiting recoveries. The receivers have not been sent the recovery, so
-- they still believe in the earlier failure, and the alerts that are active now count as reported. By
-- deliveries_waiting.
UPDATE alerts
   SET is_told = TRUE
 WHERE executable_id = :executable_id AND NOT is_told
   AND notification_id IN (SELECT value FROM json_each(:notification_ids)) --sqlite
--pg AND notification_id = ANY (ARRAY (SELECT CAST(value AS BIGINT)
--pg                                     FROM json_array_elements_text(CAST(:notification_ids AS JSON))))
   AND EXISTS (SELECT 1 FROM deliveries AS d
                WHERE d.notification_id = alerts.notification_id AND d.executable_id = :executable_id
                  AND d.ended_at IS NULL AND d.event = 'recovered'
                  AND (d.state = 'WAITING'
                       OR d.state = 'FOLDED' AND EXISTS (SELECT 1 FROM deliveries AS s
                                                          WHERE s.id = d.folded_into AND s.state = 'WAITING')))
RETURNING notification_id;
