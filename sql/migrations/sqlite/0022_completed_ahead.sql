-- Finds schedules that were completed in what is now the future, because the clock was set back since.
CREATE INDEX schedules_by_completed_at ON schedules (completed_at) WHERE completed_at IS NOT NULL;
