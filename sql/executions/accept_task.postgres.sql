-- The platform has created the tasks of several executions. No row: the execution has ended, is gone, or is
-- owned under another lease. The update may be repeated if the database's answer was lost.
-- IS TRUE keeps the planner from the index of everything the instance owns.
WITH given AS MATERIALIZED (
         SELECT *
           FROM json_to_recordset(CAST(:rows AS JSON)) AS r (n BIGINT, id BIGINT, fence BIGINT,
                    task_guid TEXT)
          ORDER BY id)
UPDATE executions AS e
   SET state = 'RUNNING', task_guid = g.task_guid, message = '', dispatch_time = NULL, doubt_until = NULL
  FROM given AS g
 WHERE e.id = g.id AND (e.state = 'PENDING' OR (e.state = 'RUNNING' AND e.task_guid = g.task_guid))
   AND (e.owner = g.fence) IS TRUE
   AND e.id > COALESCE((SELECT s.cancelled_up_to FROM schedules AS s WHERE s.id = e.schedule_id), 0)
RETURNING g.n;
