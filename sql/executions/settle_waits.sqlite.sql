-- After a start: what waits for a worker alone is due, whatever became of the clock meanwhile; no other wait
-- is longer than it can have been meant to be; and the time for attempts starts over. Of a long backlog only
-- the rows that this changes are written.
UPDATE executions
   SET dispatch_time = MIN(dispatch_time, CASE WHEN attempts = 0 THEN :now ELSE :latest END),
       doubt_until = MIN(doubt_until, :latest), failures = 0, give_up_at = NULL
 WHERE dispatch_time IS NOT NULL
   AND (dispatch_time > CASE WHEN attempts = 0 THEN :now ELSE :latest END
        OR doubt_until > :latest OR failures > 0 OR give_up_at IS NOT NULL);
