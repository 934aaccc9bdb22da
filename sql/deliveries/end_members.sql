-- The members of a summary end together with it.
UPDATE deliveries
   SET state = :state, ended_at = :now, attempts = 1
 WHERE folded_into = :id AND state = 'FOLDED';
