-- A lease that lasts longer than a lease can was given before the clock was set back. A live instance renews
-- it. A dead one would keep it until the clock has caught up.
UPDATE instances SET lease_until = now_nanos() + :lease WHERE lease_until > now_nanos() + :lease;
