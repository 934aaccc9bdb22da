-- Calls and tasks wait in lanes of their own, doubts are kept until they are settled, and schedules know when they were planned.

-- Whether it is a job's or a call's: each kind is handed out by itself, so that neither waits for the other.
ALTER TABLE executions ADD COLUMN kind TEXT NOT NULL DEFAULT 'job' CHECK (kind IN ('job', 'call'));
UPDATE executions SET kind = 'call' WHERE executable_id IN (SELECT id FROM executables WHERE kind = 'call');

-- When somebody asked for it: by hand, or by making its schedule.
ALTER TABLE executions ADD COLUMN asked_at INTEGER NOT NULL DEFAULT 0;
UPDATE executions SET asked_at = created_at WHERE state = 'PENDING';

-- A task may exist that we have not heard of; that there is none counts only from this instant on.
ALTER TABLE executions RENAME COLUMN unknown_since TO doubt_until;
UPDATE executions SET doubt_until = doubt_until + 60000000000 WHERE doubt_until IS NOT NULL;

-- How often the platform could not be asked in a row, and when that is too long.
ALTER TABLE executions ADD COLUMN failures INTEGER NOT NULL DEFAULT 0;
ALTER TABLE executions ADD COLUMN give_up_at INTEGER;

DROP INDEX executions_to_dispatch;
CREATE INDEX executions_to_dispatch ON executions (kind, dispatch_time, id) WHERE dispatch_time IS NOT NULL;
CREATE INDEX executions_by_asked_at ON executions (kind, asked_at, id)      WHERE dispatch_time IS NOT NULL;

-- When next_fire_time was computed: a schedule that was planned in what is now the future is planned anew.
ALTER TABLE schedules ADD COLUMN planned_at INTEGER NOT NULL DEFAULT 0;
UPDATE schedules SET planned_at = updated_at;
CREATE INDEX schedules_by_planned_at ON schedules (planned_at) WHERE next_fire_time IS NOT NULL;

-- Names of tasks that may exist though their execution has ended: they are looked for, and cancelled.
CREATE TABLE strays (
    name        TEXT    PRIMARY KEY,
    doubt_until INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
