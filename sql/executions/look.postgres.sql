-- What there is to do for a pass of the scheduler, in one round trip, by the first entries of indexes:
-- whether schedules were planned or completed in what is now the future (schedules/planned_ahead,
-- schedules/completed_ahead), or are due; for each kind, whether executions wait for another one to end
-- (executions/unblock), or for a worker; whether calls of this instance are to be cancelled
-- (executions/cancelled_calls); and when the next work is due. The + holds the planner to
-- schedules_by_planned_at.
SELECT EXISTS (SELECT 1 FROM schedules WHERE planned_at > :ahead AND +next_fire_time > :ahead)
       OR EXISTS (SELECT 1
                 FROM schedules AS s JOIN executables AS x ON x.id = s.executable_id
                WHERE s.completed_at > :ahead AND s.deleted_at IS NULL AND x.deleted_at IS NULL)
           AS is_planned_ahead,
       EXISTS (SELECT 1 FROM schedules WHERE next_fire_time <= :now) AS is_due,
       EXISTS (SELECT 1 FROM executions WHERE kind = 'job'
               AND dispatch_time = 9223372036854775807) AS is_job_blocked,
       EXISTS (SELECT 1 FROM executions WHERE kind = 'call' AND dispatch_time = 9223372036854775807)
           AS is_call_blocked,
       EXISTS (SELECT 1 FROM executions WHERE kind = 'job' AND dispatch_time <= :now) AS is_job_waiting,
       EXISTS (SELECT 1 FROM executions WHERE kind = 'call' AND dispatch_time <= :now) AS is_call_waiting,
       EXISTS (SELECT 1
                 FROM executions
                WHERE owner = :fence AND state = 'RUNNING' AND kind = 'call'
                      AND cancel_requested_at IS NOT NULL)
           AS is_call_cancelled,
       (SELECT MIN(next_fire_time) FROM schedules WHERE next_fire_time IS NOT NULL) AS next_fire_time,
       LEAST((SELECT dispatch_time FROM executions WHERE kind = 'job' AND dispatch_time > :now
               ORDER BY dispatch_time, id LIMIT 1),
             (SELECT dispatch_time FROM executions WHERE kind = 'call' AND dispatch_time > :now
               ORDER BY dispatch_time, id LIMIT 1)) AS next_dispatch_time;
