-- What was being sent when its process ended: it is sent again as it was.
UPDATE deliveries
   SET state = 'WAITING', is_cut_off = TRUE
 WHERE notification_id = :notification_id AND ended_at IS NULL AND state = 'SENDING';
