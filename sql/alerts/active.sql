-- The active alerts of a notification, to repeat to an Alertmanager, by primary key.
SELECT a.event, a.since, a.data, x.guid AS executable_guid, x.kind, x.name, x.app_guid, x.space_guid,
       x.labels, x.expect_success_within_seconds
  FROM alerts AS a JOIN executables AS x ON x.id = a.executable_id
 WHERE a.notification_id = :notification_id
 ORDER BY a.executable_id, a.event
 LIMIT :limit;
