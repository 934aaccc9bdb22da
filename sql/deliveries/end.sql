-- The delivery was sent or given up.
UPDATE deliveries
   SET state = :state, due_at = NULL, attempts = attempts + 1, last_status = :last_status,
       last_error = :last_error, ended_at = :now
 WHERE id = :id AND state = 'SENDING';
