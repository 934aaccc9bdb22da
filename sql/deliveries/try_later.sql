-- An attempt failed, and another one follows.
UPDATE deliveries
   SET state = 'WAITING', due_at = :due_at, attempts = attempts + 1, last_status = :last_status,
       last_error = :last_error, is_cut_off = FALSE
 WHERE id = :id AND state = 'SENDING';
