-- Finds calls to cancel. By executions_by_owner, a look would read the entries of all executions that
-- have ended since the oldest snapshot.
CREATE INDEX executions_to_cancel ON executions (cancel_requested_at)
    WHERE state = 'RUNNING' AND cancel_requested_at IS NOT NULL;
