-- Overdue jobs and calls that were reported.
CREATE INDEX streaks_overdue ON streaks (executable_id) WHERE expected_since IS NOT NULL AND success_due_at IS NULL;
