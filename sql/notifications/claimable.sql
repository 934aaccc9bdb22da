-- The next notification that has something to send, by deliveries_due and notifications_repeating. Any process
-- may claim deliveries that a dead instance was sending. A wait longer than possible is ignored: the clock was
-- set back.
SELECT n.id, n.guid, n.space_guid, n.name, n.url, n.format, n.secret, n.headers, n.events, n.job_guids,
       n.call_guids, n.label_selector, n.after_failures, n.remind_after_seconds, n.enabled, n.disabled_reason,
       n.created_at, n.updated_at
  FROM notifications AS n
 WHERE n.id IN (SELECT d.notification_id FROM deliveries AS d WHERE d.due_at <= :now
                 UNION
                SELECT r.id FROM notifications AS r WHERE r.repeat_at <= :now)
   AND (n.free_at <= :now OR n.free_at > :free_latest)
-- Those in a JSON array of ids, or all others.
   AND (n.id IN (SELECT value FROM json_each(:listed))) = :is_listed --sqlite
--pg AND (n.id = ANY (ARRAY (SELECT CAST(value AS BIGINT)
--pg                           FROM json_array_elements_text(CAST(:listed AS JSON))))) = CAST(:is_listed AS BOOLEAN)
   AND n.owner IS NULL --sqlite
--pg AND (n.owner IS NULL OR NOT EXISTS (SELECT 1 FROM instances AS i WHERE i.id = n.owner))
--pg AND EXISTS (SELECT 1 FROM instances AS i WHERE i.id = :fence)
 ORDER BY n.free_at, n.id
 LIMIT 1
--pg FOR NO KEY UPDATE OF n SKIP LOCKED
;
