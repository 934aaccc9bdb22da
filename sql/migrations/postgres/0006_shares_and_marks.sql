-- Fair shares of the workers, cancellation by a mark, fire times that were served, and surplus tasks.

-- The share to which it belongs: for a call its space and the host of its URL, separated by a blank; for a
-- job its app.
ALTER TABLE executables ADD COLUMN share TEXT COLLATE "C" GENERATED ALWAYS AS (
    CASE kind
        WHEN 'job' THEN app_guid || ' '
        ELSE space_guid || ' ' || lower(left(COALESCE(substring(url FROM '://([^/?#]*)'), ''), 255))
    END) STORED;

-- The share of its executable, copied so that the executions of one share are found without reading the
-- others.
ALTER TABLE executions ADD COLUMN share TEXT COLLATE "C" NOT NULL DEFAULT '';
UPDATE executions AS e
   SET share = x.share
  FROM executables AS x
 WHERE x.id = e.executable_id AND e.dispatch_time IS NOT NULL;
CREATE INDEX executions_by_share ON executions (kind, share, dispatch_time, id) WHERE dispatch_time IS NOT NULL;

-- The number of fire times that got no execution because too many of their schedule were PENDING. They count
-- on this one.
ALTER TABLE executions ADD COLUMN more_fire_times BIGINT NOT NULL DEFAULT 0;
-- Includes the id, to find the newest execution of a schedule.
DROP INDEX executions_pending;
CREATE INDEX executions_pending ON executions (executable_id, schedule_id, id) WHERE state = 'PENDING';

-- The latest fire time that was served, even after its execution was purged.
ALTER TABLE schedules ADD COLUMN last_fire_time BIGINT;

-- PENDING executions up to this one are cancelled; since when, and why. NULL: none, or all are recorded in
-- their rows.
ALTER TABLE schedules ADD COLUMN cancelled_up_to BIGINT;
ALTER TABLE schedules ADD COLUMN cancelled_at BIGINT;
ALTER TABLE schedules ADD COLUMN cancel_reason TEXT NOT NULL DEFAULT '';
CREATE INDEX schedules_cancelled ON schedules (id) WHERE cancelled_up_to IS NOT NULL;

-- Set for a surplus task: its execution has another one. `name` is then the guid of the task.
ALTER TABLE strays ADD COLUMN surplus_of TEXT;
