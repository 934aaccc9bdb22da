-- Runs before a newer delivery supersedes a waiting recovery. The receiver has not been sent the recovery, so
-- it still believes in the earlier failure, and the alert that is active now counts as reported. By
-- deliveries_waiting.
UPDATE alerts
   SET is_told = TRUE
 WHERE notification_id = :notification_id AND executable_id = :executable_id AND NOT is_told
   AND EXISTS (SELECT 1 FROM deliveries AS d
                WHERE d.notification_id = :notification_id AND d.executable_id = :executable_id
                  AND d.ended_at IS NULL AND d.event = 'recovered'
                  AND (d.state = 'WAITING'
                       OR d.state = 'FOLDED' AND EXISTS (SELECT 1 FROM deliveries AS s
                                                          WHERE s.id = d.folded_into AND s.state = 'WAITING')));
