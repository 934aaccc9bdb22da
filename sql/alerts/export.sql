-- A batch of reported alerts, by primary key, for another database. Waiting deliveries do not move, so their
-- alerts are reported again there. An Alertmanager gets all active alerts each minute.
SELECT a.notification_id, a.executable_id, a.event, n.guid AS notification_guid, x.guid AS executable_guid,
       a.since, a.data, a.remind_at
  FROM alerts AS a
  JOIN notifications AS n ON n.id = a.notification_id
  JOIN executables AS x ON x.id = a.executable_id
 WHERE (a.notification_id, a.executable_id, a.event) > (:after_notification, :after_executable, :after_event)
   AND x.deleted_at IS NULL
   AND (n.format = 'alertmanager'
        OR (a.is_told AND NOT EXISTS (SELECT 1
                                        FROM deliveries AS d
                                       WHERE d.notification_id = a.notification_id
                                         AND d.executable_id = a.executable_id AND d.ended_at IS NULL
                                         AND d.event IN ('failed', 'overdue'))))
 ORDER BY a.notification_id, a.executable_id, a.event
 LIMIT :limit;
