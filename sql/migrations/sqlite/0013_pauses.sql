-- When a paused job or call was resumed. Fire times up to then are not made up for.
ALTER TABLE executables ADD COLUMN resumed_at INTEGER;
