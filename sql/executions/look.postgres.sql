-- What there is to do for a pass of the scheduler, in one round trip: whether schedules were planned or
-- completed in what is now the future (schedules/planned_ahead, schedules/completed_ahead), or are due; for
-- each kind, whether executions wait for another one to end (executions/unblock), or for a worker; whether
-- calls of this instance are to be cancelled (executions/cancelled_calls); how many instances there are, and
-- how many are older than this one; and when the next work is due.
-- Each by the first or the last entry of an index. A comparison such as `next_fire_time <= :now` inside EXISTS
-- may be answered from any index instead, with all its rows. The + holds the planner to
-- schedules_by_planned_at.
--
-- Nothing can be due before :since. While a snapshot is held, for example by pg_dump, the entries of
-- executions that have ended since stay in the indexes, and those before :since are not read.
WITH known AS MATERIALIZED (
         SELECT (SELECT next_fire_time FROM schedules WHERE next_fire_time >= :since
                  ORDER BY next_fire_time, id LIMIT 1) AS next_fire_time,
                (SELECT dispatch_time FROM executions WHERE kind = 'job' AND dispatch_time >= :since
                  ORDER BY kind, dispatch_time, id LIMIT 1) AS first_job,
                (SELECT dispatch_time FROM executions WHERE kind = 'call' AND dispatch_time >= :since
                  ORDER BY kind, dispatch_time, id LIMIT 1) AS first_call,
                (SELECT dispatch_time FROM executions
                  WHERE kind = 'job' AND dispatch_time >= 9223372036854775807
                  ORDER BY kind, dispatch_time, id LIMIT 1) AS blocked_job,
                (SELECT dispatch_time FROM executions
                  WHERE kind = 'call' AND dispatch_time >= 9223372036854775807
                  ORDER BY kind, dispatch_time, id LIMIT 1) AS blocked_call)
SELECT EXISTS (SELECT 1 FROM schedules WHERE planned_at > :ahead AND +next_fire_time > :ahead)
       OR EXISTS (SELECT 1
                 FROM schedules AS s JOIN executables AS x ON x.id = s.executable_id
                WHERE s.completed_at > :ahead AND s.deleted_at IS NULL AND x.deleted_at IS NULL)
           AS is_planned_ahead,
       COALESCE(next_fire_time <= :now, FALSE) AS is_due,
       blocked_job IS NOT NULL AS is_job_blocked,
       blocked_call IS NOT NULL AS is_call_blocked,
       COALESCE(first_job <= :now, FALSE) AS is_job_waiting,
       COALESCE(first_call <= :now, FALSE) AS is_call_waiting,
       (SELECT cancel_requested_at
          FROM executions
         WHERE owner = :fence AND state = 'RUNNING' AND kind = 'call' AND cancel_requested_at IS NOT NULL
         ORDER BY cancel_requested_at LIMIT 1) IS NOT NULL AS is_call_cancelled,
       (SELECT COUNT(*) FROM instances) AS portions,
       (SELECT COUNT(*) FROM instances WHERE id < :fence) AS portion,
       next_fire_time,
       LEAST(next_fire_time, first_job, first_call) AS earliest,
       LEAST((SELECT dispatch_time FROM executions WHERE kind = 'job' AND dispatch_time > :now
               ORDER BY kind, dispatch_time, id LIMIT 1),
             (SELECT dispatch_time FROM executions WHERE kind = 'call' AND dispatch_time > :now
               ORDER BY kind, dispatch_time, id LIMIT 1)) AS next_dispatch_time
  FROM known;
