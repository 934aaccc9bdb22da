-- A page of the deliveries of a notification, newest first, by deliveries_by_notification.
SELECT d.id, d.guid, d.executable_id, d.event, d.data, d.state, d.created_at, d.due_at, d.attempts,
       d.is_cut_off,
       d.last_status, d.last_error, d.ended_at
  FROM deliveries AS d
 WHERE d.notification_id = :notification_id AND d.id < :before_id
 ORDER BY d.id DESC
 LIMIT :limit OFFSET :offset;
