-- The active alerts of a notification, to repeat to an Alertmanager, by primary key.
SELECT a.event, a.since, a.data
  FROM alerts AS a
 WHERE a.notification_id = :notification_id
 ORDER BY a.executable_id, a.event
 LIMIT :limit;
