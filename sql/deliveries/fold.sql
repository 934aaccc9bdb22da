-- Makes waiting deliveries members of a summary.
UPDATE deliveries
   SET state = 'FOLDED', due_at = NULL, folded_into = :summary_id
 WHERE notification_id = :notification_id AND ended_at IS NULL AND state = 'WAITING' AND NOT is_cut_off
   AND event NOT IN ('test', 'summary');
