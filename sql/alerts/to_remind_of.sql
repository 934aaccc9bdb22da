-- A batch of active alerts whose reminder is due, by alerts_to_remind_of. PostgreSQL skips rows that another
-- process has locked.
SELECT a.notification_id, a.executable_id, a.event, a.data, a.remind_at, n.remind_after_seconds,
       x.guid AS executable_guid, x.kind, x.name, x.app_guid, x.space_guid, x.labels,
       x.expect_success_within_seconds, k.failures, k.failing_since
  FROM alerts AS a JOIN notifications AS n ON n.id = a.notification_id
  JOIN executables AS x ON x.id = a.executable_id
  LEFT JOIN streaks AS k ON k.executable_id = a.executable_id
 WHERE a.remind_at <= :now
 ORDER BY a.remind_at
 LIMIT :limit
--pg FOR NO KEY UPDATE OF a SKIP LOCKED FOR KEY SHARE OF n SKIP LOCKED
;
