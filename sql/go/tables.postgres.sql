-- Which of the tables that tell the Go service's database from this program's are within reach of the search
-- path.
SELECT name
  FROM unnest(ARRAY['jobs', 'calls', 'schedules', 'executions', 'executables', 'schema_version']) AS name
 WHERE to_regclass(name) IS NOT NULL;
