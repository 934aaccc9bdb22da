-- The planner took executions_by_asked_at for other statements and sorted the whole backlog. While nothing is
-- PENDING it expects no row in this index, but a third of the history where dispatch_time is a key. With its
-- condition in these words, the index serves only a statement that repeats them.
DROP INDEX executions_by_asked_at;
CREATE INDEX executions_by_asked_at ON executions (kind, asked_at, id) WHERE (dispatch_time IS NOT NULL) IS TRUE;
