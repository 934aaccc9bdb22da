-- A new lease, with a number that was never used before.
INSERT INTO instances (lease_until) VALUES (now_nanos() + :lease) RETURNING id;
