-- With a summary ends all that it tells of.
UPDATE deliveries
   SET state = :state, ended_at = :now, attempts = 1
 WHERE folded_into = :id AND state = 'FOLDED';
