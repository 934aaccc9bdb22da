-- The executions of several fire times. No row if the fire time has one already (executions_by_fire_time), or
-- if :pending_max of the schedule are PENDING, by executions_pending, counting those before it in this
-- statement.
WITH given AS MATERIALIZED (
         SELECT *, ROW_NUMBER() OVER (PARTITION BY schedule_id ORDER BY n) - 1 AS before
           FROM json_to_recordset(CAST(:rows AS JSON))
             AS r (n BIGINT, guid TEXT, schedule_id BIGINT, scheduled_time BIGINT, note TEXT, now BIGINT,
                   pending_max BIGINT, jitter_seconds BIGINT, dispatch_time BIGINT)),
     made AS (
         INSERT INTO executions (guid, executable_id, schedule_id, scheduled_time, kind, state, note,
                                 asked_at,
                                 created_at, dispatch_time, jitter_seconds, share)
         SELECT g.guid, s.executable_id, s.id, g.scheduled_time, x.kind, 'PENDING', g.note, s.created_at,
                g.now, g.dispatch_time, g.jitter_seconds, x.share
           FROM given AS g CROSS JOIN schedules AS s CROSS JOIN executables AS x
          WHERE s.id = g.schedule_id AND x.id = s.executable_id
            AND g.before + (SELECT COUNT(*)
                              FROM (SELECT 1
                                      FROM executions AS p
                                     WHERE p.executable_id = s.executable_id AND p.schedule_id = s.id
                                       AND p.state = 'PENDING' AND p.id > COALESCE(s.cancelled_up_to, 0)
                                     LIMIT g.pending_max) AS waiting) < g.pending_max
          ORDER BY g.n
             ON CONFLICT (schedule_id, scheduled_time) WHERE schedule_id IS NOT NULL DO NOTHING
         RETURNING guid)
SELECT g.n FROM given AS g JOIN made ON made.guid = g.guid;
