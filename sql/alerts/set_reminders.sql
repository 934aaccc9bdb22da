-- Everything that lasts is told again after that time from now, if a change of a notification, which follows,
-- says another time than before. Guarded like the change itself (notifications/update).
UPDATE alerts
   SET remind_at = CAST(:remind_at AS BIGINT)
 WHERE notification_id = (SELECT n.id
                            FROM notifications AS n
                           WHERE n.id = :notification_id AND n.updated_at = :seen_updated_at
                             AND COALESCE(n.remind_after_seconds, 0) <> :seconds);
