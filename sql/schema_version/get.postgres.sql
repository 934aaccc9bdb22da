-- How many migrations were applied.
SELECT version FROM schema_version;
