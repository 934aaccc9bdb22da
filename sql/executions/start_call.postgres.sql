-- Several calls are about to be sent. No row: the execution was cancelled, is gone, is owned under another
-- lease, or an overlap policy must first decide whether it may begin. Its owner may repeat the update if the
-- database's answer was lost.
-- One that nobody owns is claimed with it, if it still is as it was read, and the lease still exists. If the
-- lease is taken over at the same moment, the execution keeps an owner that no longer exists: see
-- instances/missing.
-- IS TRUE keeps the planner from the index of everything the instance owns.
WITH given AS MATERIALIZED (
         SELECT *
           FROM json_to_recordset(CAST(:rows AS JSON))
             AS r (n BIGINT, id BIGINT, fence BIGINT, dispatch_time BIGINT, attempts BIGINT, now BIGINT,
                   is_admitted BIGINT)
          ORDER BY id)
UPDATE executions AS e
   SET state = 'RUNNING', owner = g.fence, start_time = COALESCE(e.start_time, g.now),
       attempt_start_time = g.now, attempts = 1, message = '', dispatch_time = NULL
  FROM given AS g
 WHERE e.id = g.id AND e.state IN ('PENDING', 'RUNNING')
   AND ((e.owner = g.fence) IS TRUE
        OR ((e.owner IS NULL) IS TRUE AND e.dispatch_time = g.dispatch_time AND e.attempts = g.attempts
            AND EXISTS (SELECT 1 FROM instances AS i WHERE i.id = g.fence)))
   AND e.id > COALESCE((SELECT s.cancelled_up_to FROM schedules AS s WHERE s.id = e.schedule_id), 0)
   AND EXISTS (SELECT 1
                 FROM executables AS x
                WHERE x.id = e.executable_id AND x.deleted_at IS NULL
                  AND (g.is_admitted = 1 OR x.concurrency_policy = 'Always'))
RETURNING g.n;
