-- Recorded before the task is asked for, so that a crash leaves the question open, not forgotten. No row: it was
-- cancelled, is gone, or is in another hand.
UPDATE executions
   SET attempts = attempts + 1, start_time = COALESCE(start_time, :now), doubt_until = :doubt_until
 WHERE id = :id AND state = 'PENDING' AND owner = :fence;
