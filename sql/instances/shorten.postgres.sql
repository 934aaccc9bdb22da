-- A lease that reaches further than a lease can was given before the clock was set back. A live instance
-- renews it; that of a dead one would hold it until the clock is where it was.
UPDATE instances SET lease_until = now_nanos() + :lease WHERE lease_until > now_nanos() + :lease;
