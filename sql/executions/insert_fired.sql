-- The execution of a fire time. No row if the fire time has one already (executions_by_fire_time), or if
-- :pending_max of the schedule are PENDING, by executions_pending.
INSERT INTO executions (guid, executable_id, schedule_id, scheduled_time, kind, state, note, asked_at,
                        created_at,
                        dispatch_time, jitter_seconds, share)
SELECT :guid, s.executable_id, s.id, :scheduled_time, x.kind, 'PENDING', :note, s.created_at, :now,
       :dispatch_time, :jitter_seconds, x.share
  FROM schedules AS s CROSS JOIN executables AS x
 WHERE s.id = :schedule_id AND x.id = s.executable_id
   AND (SELECT COUNT(*)
          FROM (SELECT 1
                  FROM executions AS p
                 WHERE p.executable_id = s.executable_id AND p.schedule_id = s.id AND p.state = 'PENDING'
                   AND p.id > COALESCE(s.cancelled_up_to, 0)
                 LIMIT :pending_max) AS waiting) < :pending_max
    ON CONFLICT (schedule_id, scheduled_time) WHERE schedule_id IS NOT NULL DO NOTHING;
