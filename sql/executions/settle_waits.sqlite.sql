-- After a start: what waits for a worker, or for the end of another execution, is due, whatever became of the
-- clock meanwhile; no other wait is longer than it can have been meant to be; and the time for attempts starts
-- over. Of a long backlog only the rows that this changes are written. What is due later than its fire time,
-- by jitter, keeps that, and so does what waits for another attempt.
UPDATE executions
   SET dispatch_time = MIN(dispatch_time, CASE WHEN attempts > 0 THEN :latest
                            WHEN attempt > 1 THEN :now + 1200000000 * COALESCE(
                                 (SELECT x.max_backoff_seconds FROM executables AS x WHERE x.id = executable_id), 0)
                            WHEN jitter_seconds > 0 THEN MAX(:now, scheduled_time + jitter_seconds * 1000000000)
                            ELSE :now END),
       doubt_until = MIN(doubt_until, :latest), failures = 0, give_up_at = NULL
 WHERE dispatch_time IS NOT NULL
   AND (dispatch_time > CASE WHEN attempts > 0 THEN :latest
                             WHEN attempt > 1 THEN :now + 1200000000 * COALESCE(
                                  (SELECT x.max_backoff_seconds FROM executables AS x WHERE x.id = executable_id), 0)
                             WHEN jitter_seconds > 0 THEN MAX(:now, scheduled_time + jitter_seconds * 1000000000)
                             ELSE :now END
        OR doubt_until > :latest OR failures > 0 OR give_up_at IS NOT NULL);
