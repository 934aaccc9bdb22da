-- Makes waiting deliveries members of a summary.
UPDATE deliveries
   SET state = 'FOLDED', due_at = NULL, folded_into = :summary_id
 WHERE notification_id = :notification_id AND due_at IS NOT NULL AND state = 'WAITING' AND NOT is_cut_off
   AND event NOT IN ('test', 'summary');
