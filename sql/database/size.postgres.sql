-- In bytes, including other schemas of the database. A second file because each engine has its own functions
-- for this.
SELECT pg_database_size(current_database()) AS size;
