-- When a job or call that was paused was resumed: fire times up to here are not made up for.
ALTER TABLE executables ADD COLUMN resumed_at INTEGER;
