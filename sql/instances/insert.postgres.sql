-- A new lease, of a number that was never given before.
INSERT INTO instances (lease_until) VALUES (now_nanos() + :lease) RETURNING id;
