-- Like alerts/mark_unrecovered, for recoveries whose attempt failed, alone or in a summary, after a newer
-- delivery was added. Runs before deliveries/supersede_overtaken.
UPDATE alerts
   SET is_told = TRUE
 WHERE NOT is_told
   AND notification_id = (SELECT d.notification_id FROM deliveries AS d WHERE d.id = :id)
   AND executable_id IN (SELECT d.executable_id FROM deliveries AS d
                          WHERE (d.id = :id OR d.folded_into = :id) AND d.ended_at IS NULL
                            AND d.event = 'recovered' AND d.state IN ('WAITING', 'FOLDED'));
