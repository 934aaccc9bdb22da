-- Cancellation, time-outs, overlap and retries.

-- SKIPPED is a third final state. SQLite cannot change a CHECK, and copying the table would take a minute for
-- a million rows. So only the text of the schema changes: the new one allows each row that the old one
-- allows.
PRAGMA writable_schema = ON;
UPDATE sqlite_schema
   SET sql = replace(replace(sql, 'CHECK (state IN (''PENDING'', ''RUNNING'', ''SUCCEEDED'', ''FAILED''))',
                                  'CHECK (state IN (''PENDING'', ''RUNNING'', ''SUCCEEDED'', ''FAILED'', ''SKIPPED''))'),
                     'CHECK ((state IN (''SUCCEEDED'', ''FAILED'')) = (end_time IS NOT NULL))',
                     'CHECK ((state IN (''SUCCEEDED'', ''FAILED'', ''SKIPPED'')) = (end_time IS NOT NULL))')
 WHERE type = 'table' AND name = 'executions';
PRAGMA writable_schema = RESET;

-- Why it failed or was skipped, as one of a fixed set of words. NULL: it succeeded, or the reason is unknown.
ALTER TABLE executions ADD COLUMN reason TEXT;
-- Who started it by hand, as a readable name. '': a schedule did.
ALTER TABLE executions ADD COLUMN requested_by TEXT NOT NULL DEFAULT '';
-- The app in which its tasks run. NULL: it has not begun, or began before this was recorded.
ALTER TABLE executions ADD COLUMN app_guid TEXT;
-- The current attempt, from 1 on, and when it began. `attempts` counts the requests for the task of this
-- attempt.
ALTER TABLE executions ADD COLUMN attempt INTEGER NOT NULL DEFAULT 1;
ALTER TABLE executions ADD COLUMN attempt_start_time INTEGER;
-- A requested cancellation: since when, the reason and message to record, and when the platform accepted it.
ALTER TABLE executions ADD COLUMN cancel_requested_at INTEGER;
ALTER TABLE executions ADD COLUMN cancel_reason TEXT;
ALTER TABLE executions ADD COLUMN cancel_message TEXT;
ALTER TABLE executions ADD COLUMN cancel_accepted_at INTEGER;
-- For SKIPPED: the execution that was in its way, and how many later skips are counted here without a row.
ALTER TABLE executions ADD COLUMN skipped_behind INTEGER;
ALTER TABLE executions ADD COLUMN more_skipped INTEGER NOT NULL DEFAULT 0;

CREATE INDEX executions_under_way ON executions (executable_id, id)  WHERE state = 'RUNNING';
CREATE INDEX executions_skipped   ON executions (skipped_behind, id) WHERE skipped_behind IS NOT NULL;

-- Finished attempts. The latest is in the row of the execution.
CREATE TABLE attempts (
    execution_id INTEGER NOT NULL REFERENCES executions (id) ON DELETE CASCADE,
    number       INTEGER NOT NULL,
    start_time   INTEGER,
    end_time     INTEGER NOT NULL,
    task_guid    TEXT,
    message      TEXT    NOT NULL,
    PRIMARY KEY (execution_id, number)
) STRICT, WITHOUT ROWID;

-- The attempt that created the task, and whether to cancel the task although it was found once.
ALTER TABLE strays ADD COLUMN attempt INTEGER NOT NULL DEFAULT 1;
ALTER TABLE strays ADD COLUMN is_to_end INTEGER NOT NULL DEFAULT 0;
