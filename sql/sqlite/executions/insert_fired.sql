-- The execution of a fire time. That there is one already breaks executions_by_fire_time, and changes no row.
INSERT INTO executions (guid, executable_id, schedule_id, scheduled_time, state, note, created_at, dispatch_time)
VALUES (:guid, :executable_id, :schedule_id, :scheduled_time, 'PENDING', :note, :now, :scheduled_time)
ON CONFLICT DO NOTHING;
