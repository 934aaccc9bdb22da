-- Several tasks are about to be requested. Recorded before the requests are sent, so that after a crash their
-- outcome counts as unknown. No row: the execution was cancelled, is gone, is owned under another lease, or
-- an overlap policy must first decide whether it may begin. One that nobody owns is claimed with it, as in
-- executions/start_call. By primary key: `state || ''` and IS TRUE keep the planner from the indexes of
-- everything PENDING and everything the instance owns.
WITH given AS MATERIALIZED (
         SELECT *
           FROM json_to_recordset(CAST(:rows AS JSON))
             AS r (n BIGINT, id BIGINT, fence BIGINT, dispatch_time BIGINT, attempts BIGINT, task_name TEXT,
                   app_guid TEXT, now BIGINT, doubt_until BIGINT, is_admitted BIGINT)
          ORDER BY id)
UPDATE executions AS e
-- Keep the name of the first attempt's task: the later names are derived from it.
   SET task_name = CASE WHEN e.attempts = 0 THEN g.task_name ELSE e.task_name END,
       attempts = e.attempts + 1, start_time = COALESCE(e.start_time, g.now), attempt_start_time = g.now,
       app_guid = g.app_guid, owner = g.fence, doubt_until = g.doubt_until
  FROM given AS g
 WHERE e.id = g.id AND e.state || '' = 'PENDING'
   AND ((e.owner = g.fence) IS TRUE
        OR ((e.owner IS NULL) IS TRUE AND e.dispatch_time = g.dispatch_time AND e.attempts = g.attempts
            AND EXISTS (SELECT 1 FROM instances AS i WHERE i.id = g.fence)))
   AND e.id > COALESCE((SELECT s.cancelled_up_to FROM schedules AS s WHERE s.id = e.schedule_id), 0)
   AND EXISTS (SELECT 1
                 FROM executables AS x
                WHERE x.id = e.executable_id AND x.deleted_at IS NULL
                  AND (g.is_admitted = 1 OR x.concurrency_policy = 'Always'))
RETURNING g.n;
