-- Executions that failed or were skipped, newest first: among a million that succeeded they are few.
CREATE INDEX executions_unsuccessful ON executions (state, id) WHERE state IN ('FAILED', 'SKIPPED');
-- Executions of a period.
CREATE INDEX executions_by_creation ON executions (created_at);
