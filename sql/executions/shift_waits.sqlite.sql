-- The clock was set: executions that wait for a duration wait for the rest of it on the new clock; if it was
-- set forward, those that wait because of jitter may be due. Those that only wait for a worker keep their
-- place, but not later than now; those that wait for another execution keep waiting. Only rows that change
-- are written, even if the backlog is long.
UPDATE executions
   SET dispatch_time = CASE WHEN dispatch_time = 9223372036854775807 THEN dispatch_time
                            WHEN attempts > 0 OR attempt > 1 THEN dispatch_time + :by
                            WHEN jitter_seconds > 0 THEN MIN(dispatch_time, MAX(:now, dispatch_time + :by))
                            ELSE MIN(dispatch_time, :now) END,
       doubt_until = doubt_until + :by, give_up_at = give_up_at + :by
 WHERE dispatch_time IS NOT NULL
   AND (attempts > 0 OR attempt > 1 OR dispatch_time > :now OR doubt_until IS NOT NULL
        OR give_up_at IS NOT NULL);
