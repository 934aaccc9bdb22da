-- A batch of active alerts whose reminder is due, by alerts_to_remind_of. PostgreSQL skips rows that another
-- process has locked.
SELECT a.notification_id, a.executable_id, a.event, a.data, a.remind_at, n.remind_after_seconds, n.enabled,
       n.format
  FROM alerts AS a JOIN notifications AS n ON n.id = a.notification_id
 WHERE a.remind_at <= :now
 ORDER BY a.remind_at
 LIMIT :limit
--pg FOR NO KEY UPDATE OF a SKIP LOCKED FOR KEY SHARE OF n SKIP LOCKED
;
