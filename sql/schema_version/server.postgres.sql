-- Identifies a database: the same text for the same database and no other, by whatever host name it is
-- reached.
SELECT current_database() || ' ' || CAST(EXTRACT(EPOCH FROM pg_postmaster_start_time()) AS TEXT);
