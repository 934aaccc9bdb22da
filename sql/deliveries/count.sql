-- The number of deliveries of a notification, by deliveries_by_notification.
SELECT COUNT(*) AS total, COALESCE(MAX(id), 0) AS last_id
  FROM deliveries
 WHERE notification_id = :notification_id;
