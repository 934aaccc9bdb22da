-- The execution of a fire time. When there is one already, executions_by_fire_time keeps this one out, and no row changes.
INSERT INTO executions (guid, executable_id, schedule_id, scheduled_time, kind, state, note, asked_at, created_at,
                        dispatch_time)
SELECT :guid, s.executable_id, s.id, :scheduled_time, x.kind, 'PENDING', :note, s.created_at, :now, :scheduled_time
  FROM schedules AS s CROSS JOIN executables AS x
 WHERE s.id = :schedule_id AND x.id = s.executable_id
    ON CONFLICT (schedule_id, scheduled_time) WHERE schedule_id IS NOT NULL DO NOTHING;
