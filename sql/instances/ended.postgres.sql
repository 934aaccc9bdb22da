-- Those whose lease has ended; not those that another process is taking over already.
SELECT id FROM instances WHERE lease_until < now_nanos() ORDER BY id LIMIT :limit FOR UPDATE SKIP LOCKED;
