-- Bytes, with those of whatever else is in the database.
SELECT pg_database_size(current_database());
