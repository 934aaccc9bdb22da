-- The execution of a fire time. That there is one already breaks executions_by_fire_time, and changes no row.
INSERT INTO executions (guid, executable_id, schedule_id, scheduled_time, kind, state, note, asked_at, created_at,
                        dispatch_time)
SELECT :guid, s.executable_id, s.id, :scheduled_time, x.kind, 'PENDING', :note, s.created_at, :now, :scheduled_time
  FROM schedules AS s JOIN executables AS x ON x.id = s.executable_id
 WHERE s.id = :schedule_id
    ON CONFLICT DO NOTHING;
