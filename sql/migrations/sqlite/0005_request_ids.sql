-- Which request asked for an execution, for the log: '' for those of schedules, and for what was there before. The program
-- takes no longer ones than 64 characters.
ALTER TABLE executions ADD COLUMN request_id TEXT NOT NULL DEFAULT '';
