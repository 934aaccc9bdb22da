-- Executions that wait for another one to end become due when nothing blocks them, or when their job or call
-- allows overlap. By executions_to_dispatch, executions_under_way and executions_pending; see ahead.
UPDATE executions
   SET dispatch_time = :now, message = ''
 WHERE kind = :kind AND dispatch_time = 9223372036854775807 --sqlite
-- The ORDER BY holds the planner of version 12 to executions_to_dispatch.
--pg WHERE id = ANY (ARRAY(SELECT b.id FROM executions AS b
--pg                        WHERE b.kind = :kind AND b.dispatch_time >= 9223372036854775807
--pg                        ORDER BY b.kind, b.dispatch_time, b.id))
--pg   AND (dispatch_time = 9223372036854775807) IS TRUE
   AND ((NOT EXISTS (SELECT 1
                       FROM executions AS r
                      WHERE r.executable_id = executions.executable_id AND r.state = 'RUNNING')
         AND NOT EXISTS (SELECT 1
                           FROM executions AS p
                          WHERE p.executable_id = executions.executable_id AND p.state = 'PENDING'
                            AND p.id <> executions.id AND (p.start_time IS NOT NULL OR p.id < executions.id)
                            AND p.id > COALESCE((SELECT s.cancelled_up_to FROM schedules AS s
                                                 WHERE s.id = p.schedule_id), 0)))
        OR EXISTS (SELECT 1
                     FROM executables AS x
                    WHERE x.id = executions.executable_id AND x.concurrency_policy = 'Always'));
