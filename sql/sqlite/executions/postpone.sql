-- Another attempt later: the wait is a due time here, not a sleeping thread.
UPDATE executions
   SET dispatch_time = :dispatch_time, message = :message, doubt_until = :doubt_until, failures = :failures,
       give_up_at = :give_up_at
 WHERE id = :id AND state = 'PENDING';
