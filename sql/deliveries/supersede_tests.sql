-- A new test replaces one that waits.
UPDATE deliveries
   SET state = 'SUPERSEDED', due_at = NULL, ended_at = :now
 WHERE notification_id = :notification_id AND executable_id IS NULL AND ended_at IS NULL AND state = 'WAITING'
   AND event = 'test';
