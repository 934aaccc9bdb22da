-- The alerts of a delivery that is being sent, or of the members of its summary, count as reported. By
-- deliveries_sendable and deliveries_folded.
UPDATE alerts
   SET is_told = TRUE
 WHERE notification_id = :notification_id AND NOT is_told
   AND executable_id IN (SELECT d.executable_id FROM deliveries AS d
                          WHERE d.notification_id = :notification_id AND d.due_at IS NOT NULL
                            AND d.state = 'SENDING'
                          UNION ALL
                         SELECT m.executable_id FROM deliveries AS m
                          WHERE m.folded_into = :delivery_id AND m.ended_at IS NULL);
