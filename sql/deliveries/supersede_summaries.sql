-- The new summary replaces those that wait.
UPDATE deliveries
   SET state = 'SUPERSEDED', due_at = NULL, ended_at = :now
 WHERE notification_id = :notification_id AND due_at IS NOT NULL AND state = 'WAITING' AND event = 'summary'
   AND id <> :summary_id;
