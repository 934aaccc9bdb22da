-- Schedules reminders of all active alerts from now on, if an update of the notification changes the
-- interval. Runs before the update, and has the same guard (notifications/update).
UPDATE alerts
   SET remind_at = CAST(:remind_at AS BIGINT)
 WHERE notification_id = (SELECT n.id
                            FROM notifications AS n
                           WHERE n.id = :notification_id AND n.updated_at = :seen_updated_at
                             AND COALESCE(n.remind_after_seconds, 0) <> :seconds);
