-- What waiting summaries tell of is told by the new one.
UPDATE deliveries
   SET folded_into = :summary_id
 WHERE notification_id = :notification_id AND ended_at IS NULL AND state = 'FOLDED';
