-- No row: the lease had ended and was taken over.
UPDATE instances SET lease_until = now_nanos() + :lease WHERE id = :id;
