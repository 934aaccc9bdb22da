-- The planner used executions_by_asked_at for other statements and sorted the whole backlog. While nothing is
-- PENDING it expects no row in this index, but a third of the history where dispatch_time is a key. With this
-- condition, the index serves only statements that repeat it word for word.
DROP INDEX executions_by_asked_at;
CREATE INDEX executions_by_asked_at ON executions (kind, asked_at, id) WHERE (dispatch_time IS NOT NULL) IS TRUE;
