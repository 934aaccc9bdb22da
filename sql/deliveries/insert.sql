-- Runs in the transaction of the change that the delivery reports.
INSERT INTO deliveries (guid, notification_id, executable_id, event, data, state, created_at, due_at)
VALUES (:guid, :notification_id, :executable_id, :event, :data, 'WAITING', :now, :due_at)
RETURNING id;
