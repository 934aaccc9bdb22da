-- When it is told again; NULL: it is not.
UPDATE alerts
   SET remind_at = :remind_at
 WHERE notification_id = :notification_id AND executable_id = :executable_id AND event = :event;
