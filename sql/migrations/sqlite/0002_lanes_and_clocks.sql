-- Separate lanes for calls and tasks, a time limit for unknown outcomes, and the time at which a schedule was
-- planned.

-- Executions of jobs and of calls are dispatched separately, so that neither kind waits for the other.
ALTER TABLE executions ADD COLUMN kind TEXT NOT NULL DEFAULT 'job' CHECK (kind IN ('job', 'call'));
UPDATE executions SET kind = 'call' WHERE executable_id IN (SELECT id FROM executables WHERE kind = 'call');

-- When a client requested the execution: by starting it, or by creating its schedule.
ALTER TABLE executions ADD COLUMN asked_at INTEGER NOT NULL DEFAULT 0;
UPDATE executions SET asked_at = created_at WHERE state = 'PENDING';

-- The outcome of a task request is unknown. From this instant on, "not found" is conclusive.
ALTER TABLE executions RENAME COLUMN unknown_since TO doubt_until;
UPDATE executions SET doubt_until = doubt_until + 60000000000 WHERE doubt_until IS NOT NULL;

-- Consecutive failures to reach the platform, and when to give up.
ALTER TABLE executions ADD COLUMN failures INTEGER NOT NULL DEFAULT 0;
ALTER TABLE executions ADD COLUMN give_up_at INTEGER;

DROP INDEX executions_to_dispatch;
CREATE INDEX executions_to_dispatch ON executions (kind, dispatch_time, id) WHERE dispatch_time IS NOT NULL;
CREATE INDEX executions_by_asked_at ON executions (kind, asked_at, id)      WHERE dispatch_time IS NOT NULL;

-- When next_fire_time was computed. If the clock is set back before it, the schedule is planned again.
ALTER TABLE schedules ADD COLUMN planned_at INTEGER NOT NULL DEFAULT 0;
UPDATE schedules SET planned_at = updated_at;
CREATE INDEX schedules_by_planned_at ON schedules (planned_at) WHERE next_fire_time IS NOT NULL;

-- Names of tasks that may exist although their execution has ended. They are looked for and cancelled.
CREATE TABLE strays (
    name        TEXT    PRIMARY KEY,
    doubt_until INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
