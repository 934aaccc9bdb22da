-- A delivery about no single job or call: a test, or a summary.
INSERT INTO deliveries (guid, notification_id, event, data, state, created_at, due_at)
VALUES (:guid, :notification_id, :event, :data, 'WAITING', :now, :due_at)
RETURNING id;
