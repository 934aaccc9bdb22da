-- Which tables that tell the Go service's database from ours are visible on the search path. Lists
-- `jobs.log_rate_in_bps` if its jobs have that column, which version 2 added.
SELECT name
  FROM unnest(ARRAY['jobs', 'calls', 'schedules', 'executions', 'gorp_migrations', 'executables',
              'schema_version']) AS name
 WHERE to_regclass(name) IS NOT NULL
 UNION ALL
SELECT 'jobs.log_rate_in_bps'
  FROM pg_attribute
 WHERE attrelid = to_regclass('jobs') AND attname = 'log_rate_in_bps' AND NOT attisdropped;
