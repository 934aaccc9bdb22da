-- Of a notification, what is beyond the newest :keep and has ended, by deliveries_by_notification.
DELETE FROM deliveries
 WHERE notification_id = :notification_id AND ended_at IS NOT NULL
   AND id <= (SELECT d.id FROM deliveries AS d
               WHERE d.notification_id = :notification_id
               ORDER BY d.id DESC
               LIMIT 1 OFFSET :keep);
