-- A new test replaces one that waits.
UPDATE deliveries
   SET state = 'SUPERSEDED', due_at = NULL, ended_at = :now
 WHERE notification_id = :notification_id AND executable_id IS NULL AND due_at IS NOT NULL AND state = 'WAITING'
   AND event = 'test';
