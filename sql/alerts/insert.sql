-- No row: the alert is active already.
INSERT INTO alerts (notification_id, executable_id, event, since, data, remind_at)
VALUES (:notification_id, :executable_id, :event, :since, :data, :remind_at)
    ON CONFLICT (notification_id, executable_id, event) DO NOTHING;
