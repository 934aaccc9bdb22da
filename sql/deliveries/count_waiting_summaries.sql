-- The number of waiting summaries, by deliveries_sendable.
SELECT COUNT(*) AS total
  FROM deliveries
 WHERE notification_id = :notification_id AND due_at IS NOT NULL AND state = 'WAITING' AND event = 'summary'
   AND NOT is_cut_off;
