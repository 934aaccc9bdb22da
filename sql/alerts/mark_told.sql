-- The alerts of a delivery that is being sent, or of the members of its summary, count as reported.
UPDATE alerts
   SET is_told = TRUE
 WHERE notification_id = :notification_id AND NOT is_told
   AND executable_id IN (SELECT d.executable_id FROM deliveries AS d
                          WHERE d.notification_id = :notification_id AND d.ended_at IS NULL
                            AND (d.state = 'SENDING' OR d.folded_into = :delivery_id));
