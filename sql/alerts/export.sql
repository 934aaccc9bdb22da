-- A batch by primary key, for another database: what was told. What waits to be sent, or to be tried again,
-- does not move, so that it is told there anew. An Alertmanager is sent all that lasts each minute.
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
