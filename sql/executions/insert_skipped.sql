-- A fire time that nothing serves, and that leaves a trace all the same. When there is an execution of it
-- already, executions_by_fire_time keeps this one out, and no row changes.
INSERT INTO executions (guid, executable_id, schedule_id, scheduled_time, kind, state, reason, message, asked_at, created_at,
                        end_time, share)
SELECT :guid, s.executable_id, s.id, :scheduled_time, x.kind, 'SKIPPED', :reason, :message, s.created_at, :now, :now, x.share
  FROM schedules AS s CROSS JOIN executables AS x
 WHERE s.id = :schedule_id AND x.id = s.executable_id
    ON CONFLICT (schedule_id, scheduled_time) WHERE schedule_id IS NOT NULL DO NOTHING;
