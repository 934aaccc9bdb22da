-- Another attempt later: the wait is a due time here, not a sleeping thread.
UPDATE executions
   SET dispatch_time = :dispatch_time, message = :message, unknown_since = :unknown_since
 WHERE id = :id AND state = 'PENDING';
