-- A lease that reaches further than one can was given before the clock was set back. Whoever is there renews it; whoever is gone would
-- hold it until the clock is where it was.
UPDATE instances SET lease_until = now_nanos() + :lease WHERE lease_until > now_nanos() + :lease;
