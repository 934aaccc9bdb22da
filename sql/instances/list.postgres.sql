-- The processes that share the database, oldest first, by the database's clock. There are few.
SELECT id, name, lease_until - now_nanos() AS lasts FROM instances ORDER BY id LIMIT :limit;
