-- After a start, as the clock may have changed meanwhile: executions that wait for a worker or for another
-- one to end are due; other waits are cut to the longest that is possible; and the time for attempts starts
-- over. Only rows that change are written, even if the backlog is long. Executions that
-- wait because of jitter, or before a retry, keep waiting, but no longer than is possible.
UPDATE executions
   SET dispatch_time = MIN(dispatch_time, CASE WHEN attempts > 0 THEN :latest
                            WHEN attempt > 1 THEN :now + 1200000000 * COALESCE(
                                 (SELECT x.max_backoff_seconds FROM executables AS x
                                  WHERE x.id = executable_id), 0)
                            WHEN jitter_seconds > 0 THEN :now + jitter_seconds * 1000000000
                            ELSE :now END),
       doubt_until = MIN(doubt_until, :latest), failures = 0, give_up_at = NULL
 WHERE dispatch_time IS NOT NULL
   AND (dispatch_time > CASE WHEN attempts > 0 THEN :latest
                             WHEN attempt > 1 THEN :now + 1200000000 * COALESCE(
                                  (SELECT x.max_backoff_seconds FROM executables AS x
                                   WHERE x.id = executable_id), 0)
                             WHEN jitter_seconds > 0 THEN :now + jitter_seconds * 1000000000
                             ELSE :now END
        OR doubt_until > :latest OR failures > 0 OR give_up_at IS NOT NULL);
