-- Bytes, with those of other schemas in the database. A second file, for each engine has functions of its own
-- for this.
SELECT pg_database_size(current_database()) AS size;
