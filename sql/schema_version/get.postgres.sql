-- The number of applied migrations.
SELECT version FROM schema_version;
