-- A try begins.
UPDATE deliveries SET state = 'SENDING' WHERE id = :id AND state = 'WAITING';
