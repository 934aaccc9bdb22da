-- What nobody was told of is over for a notification that is disabled: it is told when it fails again, enabled.
DELETE FROM alerts WHERE notification_id = :notification_id AND NOT is_told;
