-- Whether a recovery of a job or call waits to be sent, by deliveries_waiting.
SELECT EXISTS (SELECT 1 FROM deliveries AS d
                WHERE d.notification_id = :notification_id AND d.executable_id = :executable_id
                  AND d.ended_at IS NULL AND d.event = 'recovered'
                  AND (d.state = 'WAITING'
                       OR d.state = 'FOLDED' AND EXISTS (SELECT 1 FROM deliveries AS s
                                                          WHERE s.id = d.folded_into AND s.state = 'WAITING')))
       AS is_waiting;
