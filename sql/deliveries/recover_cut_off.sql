-- The process that was sending this delivery has died. It is sent again, unchanged.
UPDATE deliveries
   SET state = 'WAITING', is_cut_off = TRUE
 WHERE notification_id = :notification_id AND due_at IS NOT NULL AND state = 'SENDING';
