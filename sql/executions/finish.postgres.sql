-- Ends several executions, each once. One that was being cancelled gets the reason for that, unless it
-- succeeded. No row, which is normal: it had ended before, is cancelled by a mark, is gone, or is owned under
-- another lease. `is_silent` limits it to ends that need no further statements: those of calls that nobody
-- watches (streaks/watched).
-- IS TRUE keeps the planner from the index of everything the instance owns.
WITH given AS MATERIALIZED (
         SELECT *
           FROM json_to_recordset(CAST(:rows AS JSON))
             AS r (n BIGINT, id BIGINT, fence BIGINT, state TEXT, message TEXT, reason TEXT, end_time BIGINT,
                   is_silent BOOLEAN)
          ORDER BY id)
UPDATE executions AS e
   SET state = g.state,
       reason = CASE WHEN g.state = 'FAILED' THEN COALESCE(e.cancel_reason, g.reason) END,
       message = CASE WHEN e.cancel_requested_at IS NULL THEN g.message
-- A message that starts with the reason and adds to it stays.
                      WHEN g.state = 'FAILED'
                          AND substr(g.message, 1, length(e.cancel_message)) = e.cancel_message
                          THEN g.message
                      WHEN g.state = 'FAILED' THEN e.cancel_message
                      WHEN g.message = '' THEN 'the cancel came too late'
                      ELSE g.message || '; the cancel came too late' END,
       dispatch_time = NULL, doubt_until = NULL, owner = NULL,
-- Cloud Foundry reports whole seconds, and a clock may be set back: no end may precede its start.
       end_time = GREATEST(g.end_time, e.start_time)
  FROM given AS g
 WHERE e.id = g.id AND e.state IN ('PENDING', 'RUNNING') AND (e.owner = g.fence) IS TRUE
   AND (e.state = 'RUNNING'
        OR e.id > COALESCE((SELECT s.cancelled_up_to FROM schedules AS s WHERE s.id = e.schedule_id), 0))
   AND (NOT g.is_silent
        OR (e.kind = 'call'
            AND NOT EXISTS (SELECT 1
                              FROM executables AS x
                             WHERE x.id = e.executable_id AND (x.deleted_at IS NULL) IS TRUE
                               AND (EXISTS (SELECT 1 FROM notifications AS o
                                            WHERE o.space_guid = x.space_guid)
                                    OR EXISTS (SELECT 1
                                                 FROM streaks AS k
                                                WHERE k.executable_id = x.id
                                                      AND k.expected_since IS NOT NULL)))))
RETURNING g.n;
