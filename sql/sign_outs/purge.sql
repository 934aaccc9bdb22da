-- A batch of sign-outs whose sessions would have expired by now, by sign_outs_ended.
DELETE FROM sign_outs
 WHERE user_id IN (SELECT user_id FROM sign_outs WHERE ends_at < :before ORDER BY ends_at LIMIT :limit);
