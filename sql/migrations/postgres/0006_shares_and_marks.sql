-- Fair shares of the workers, cancellations by a mark, fire times that were served, and surplus tasks.

-- Whose turn it is: the space of a call and the host that it goes to, or the app of a job, separated by a blank.
ALTER TABLE executables ADD COLUMN share TEXT COLLATE "C" GENERATED ALWAYS AS (
    CASE kind
        WHEN 'job' THEN app_guid || ' '
        ELSE space_guid || ' ' || lower(left(COALESCE(substring(url FROM '://([^/?#]*)'), ''), 255))
    END) STORED;

-- That of its executable, copied so that each share's executions are found without reading those of the others.
ALTER TABLE executions ADD COLUMN share TEXT COLLATE "C" NOT NULL DEFAULT '';
UPDATE executions AS e
   SET share = x.share
  FROM executables AS x
 WHERE x.id = e.executable_id AND e.dispatch_time IS NOT NULL;
CREATE INDEX executions_by_share ON executions (kind, share, dispatch_time, id) WHERE dispatch_time IS NOT NULL;

-- Fire times that got no execution of their own because too many of their schedule were PENDING: this one stands for them.
ALTER TABLE executions ADD COLUMN more_fire_times BIGINT NOT NULL DEFAULT 0;
-- With the id, for the newest of a schedule.
DROP INDEX executions_pending;
CREATE INDEX executions_pending ON executions (executable_id, schedule_id, id) WHERE state = 'PENDING';

-- The latest fire time that was served, whatever is cleared from the history.
ALTER TABLE schedules ADD COLUMN last_fire_time BIGINT;

-- What was PENDING up to this execution is cancelled, since when, and why. NULL: nothing, or all of it is recorded.
ALTER TABLE schedules ADD COLUMN cancelled_up_to BIGINT;
ALTER TABLE schedules ADD COLUMN cancelled_at BIGINT;
ALTER TABLE schedules ADD COLUMN cancel_reason TEXT NOT NULL DEFAULT '';
CREATE INDEX schedules_cancelled ON schedules (id) WHERE cancelled_up_to IS NOT NULL;

-- Set: a task that its execution has no use for, as another is its own. `name` is the task's guid then.
ALTER TABLE strays ADD COLUMN surplus_of TEXT;
