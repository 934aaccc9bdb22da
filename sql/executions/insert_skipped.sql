-- Records a fire time that was skipped. If it has an execution already, executions_by_fire_time refuses this
-- one, and no row changes.
INSERT INTO executions (guid, executable_id, schedule_id, scheduled_time, kind, state, reason, message,
                        asked_at, created_at,
                        end_time, share)
SELECT :guid, s.executable_id, s.id, :scheduled_time, x.kind, 'SKIPPED', :reason, :message, s.created_at,
       :now, :now, x.share
  FROM schedules AS s CROSS JOIN executables AS x
 WHERE s.id = :schedule_id AND x.id = s.executable_id
    ON CONFLICT (schedule_id, scheduled_time) WHERE schedule_id IS NOT NULL DO NOTHING;
