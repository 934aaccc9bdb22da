-- After a change of a notification: everything that lasts is told again after that time from now.
UPDATE alerts SET remind_at = CAST(:remind_at AS BIGINT) WHERE notification_id = :notification_id;
