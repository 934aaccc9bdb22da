-- A reported alert of an imported job or call, for an existing notification.
INSERT INTO alerts (notification_id, executable_id, event, since, data, is_told, remind_at)
SELECT n.id, x.id, CAST(:event AS TEXT), CAST(:since AS BIGINT), CAST(:data AS TEXT), TRUE,
       CAST(:remind_at AS BIGINT)
  FROM notifications AS n JOIN executables AS x ON x.space_guid = n.space_guid
 WHERE n.guid = :notification_guid AND x.guid = :executable_guid
    ON CONFLICT (notification_id, executable_id, event) DO NOTHING;
