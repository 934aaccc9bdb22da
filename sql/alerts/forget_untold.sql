-- Drops the alerts that a disabled notification has not sent yet. Once it is enabled, the next failure
-- sends one.
DELETE FROM alerts WHERE notification_id = :notification_id AND NOT is_told;
