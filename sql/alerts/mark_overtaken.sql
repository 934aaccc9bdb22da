-- The same for recoveries that were being sent, alone or in a summary, in vain, while a newer delivery was
-- added, before deliveries/supersede_overtaken.
UPDATE alerts
   SET is_told = TRUE
 WHERE NOT is_told
   AND notification_id = (SELECT d.notification_id FROM deliveries AS d WHERE d.id = :id)
   AND executable_id IN (SELECT d.executable_id FROM deliveries AS d
                          WHERE (d.id = :id OR d.folded_into = :id) AND d.ended_at IS NULL
                            AND d.event = 'recovered' AND d.state IN ('WAITING', 'FOLDED'));
