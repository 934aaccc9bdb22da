-- The same text for the same database and no other, by whatever name its server is reached.
SELECT current_database() || ' ' || CAST(EXTRACT(EPOCH FROM pg_postmaster_start_time()) AS TEXT);
