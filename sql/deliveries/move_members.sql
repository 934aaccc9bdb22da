-- Moves the members of waiting summaries to the new summary.
UPDATE deliveries
   SET folded_into = :summary_id
 WHERE notification_id = :notification_id AND ended_at IS NULL AND state = 'FOLDED';
