-- Names of tasks are compared with guids of executions, and an index serves only comparisons in its own
-- collation.
ALTER TABLE strays ALTER COLUMN name TYPE TEXT COLLATE "default";
