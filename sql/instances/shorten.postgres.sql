-- A lease that lasts longer than possible was granted before the clock was set back. A live instance renews
-- it. Without this, the lease of a dead one would last until the clock has caught up.
UPDATE instances SET lease_until = now_nanos() + :lease WHERE lease_until > now_nanos() + :lease;
