-- Deletes ended deliveries of a notification beyond its newest :keep, by deliveries_by_notification.
DELETE FROM deliveries
 WHERE notification_id = :notification_id AND ended_at IS NOT NULL
   AND id <= (SELECT d.id FROM deliveries AS d
               WHERE d.notification_id = :notification_id
               ORDER BY d.id DESC
               LIMIT 1 OFFSET :keep);
