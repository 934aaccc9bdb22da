-- Drops waiting deliveries: nothing is kept for later while a notification is disabled.
UPDATE deliveries
   SET state = 'DROPPED', due_at = NULL, ended_at = :now
 WHERE notification_id = :notification_id AND ended_at IS NULL AND state IN ('WAITING', 'FOLDED')
   AND event <> 'test';
