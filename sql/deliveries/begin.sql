-- Begins an attempt.
UPDATE deliveries SET state = 'SENDING' WHERE id = :id AND state = 'WAITING';
