-- Recorded before the task is asked for, so that a crash leaves the question open, not forgotten. No row: it was
-- cancelled, or is gone.
UPDATE executions
   SET attempts = attempts + 1, start_time = COALESCE(start_time, :now), unknown_since = :now
 WHERE id = :id AND state = 'PENDING';
