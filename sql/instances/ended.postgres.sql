-- Leases that have ended, without those that another process is taking over.
SELECT id FROM instances WHERE lease_until < now_nanos() ORDER BY id LIMIT :limit FOR UPDATE SKIP LOCKED;
