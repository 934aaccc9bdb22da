-- The id of the request that started an execution, for the log; '' if a schedule did, or in older rows. The
-- program accepts at most 64 characters.
ALTER TABLE executions ADD COLUMN request_id TEXT NOT NULL DEFAULT '';
