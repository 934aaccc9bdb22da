-- When to send the next reminder; NULL: never.
UPDATE alerts
   SET remind_at = :remind_at
 WHERE notification_id = :notification_id AND executable_id = :executable_id AND event = :event;
