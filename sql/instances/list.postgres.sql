-- The processes that share the database, by the clock that counts. There are few, and the oldest come first.
SELECT id, name, lease_until - now_nanos() AS lasts FROM instances ORDER BY id LIMIT :limit;
