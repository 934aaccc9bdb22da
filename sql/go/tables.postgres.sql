-- Which tables are in reach of the search path: those of the Go service, and those of this program.
SELECT to_regclass('jobs') IS NOT NULL OR to_regclass('calls') IS NOT NULL,
       to_regclass('jobs') IS NOT NULL AND to_regclass('calls') IS NOT NULL AND to_regclass('schedules') IS NOT NULL
       AND to_regclass('executions') IS NOT NULL,
       to_regclass('executables') IS NOT NULL AND to_regclass('schema_version') IS NOT NULL;
