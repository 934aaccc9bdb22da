-- Fair shares of the workers, cancellation by a mark, fire times that were served, and surplus tasks.

-- The share to which it belongs: for a call its space and the host of its URL, separated by a blank; for a
-- job its app.
ALTER TABLE executables ADD COLUMN share TEXT GENERATED ALWAYS AS (
    CASE kind
        WHEN 'job' THEN app_guid || ' '
        ELSE space_guid || ' ' || lower(substr(substr(url, instr(url, '://') + 3), 1, min(255,
             instr(replace(replace(substr(url, instr(url, '://') + 3), '?', '/'), '#', '/') || '/', '/') - 1)))
    END) VIRTUAL;

-- The share of its executable, copied so that the executions of one share are found without reading the
-- others.
ALTER TABLE executions ADD COLUMN share TEXT NOT NULL DEFAULT '';
UPDATE executions
   SET share = (SELECT x.share FROM executables AS x WHERE x.id = executable_id)
 WHERE dispatch_time IS NOT NULL;
CREATE INDEX executions_by_share ON executions (kind, share, dispatch_time, id) WHERE dispatch_time IS NOT NULL;

-- The number of fire times that got no execution because too many of their schedule were PENDING. They count
-- on this one.
ALTER TABLE executions ADD COLUMN more_fire_times INTEGER NOT NULL DEFAULT 0;

-- The latest fire time that was served, even after its execution was purged.
ALTER TABLE schedules ADD COLUMN last_fire_time INTEGER;

-- PENDING executions up to this one are cancelled; since when, and why. NULL: none, or all are recorded in
-- their rows.
ALTER TABLE schedules ADD COLUMN cancelled_up_to INTEGER;
ALTER TABLE schedules ADD COLUMN cancelled_at INTEGER;
ALTER TABLE schedules ADD COLUMN cancel_reason TEXT NOT NULL DEFAULT '';
CREATE INDEX schedules_cancelled ON schedules (id) WHERE cancelled_up_to IS NOT NULL;

-- Set for a surplus task: its execution has another one. `name` is then the guid of the task.
ALTER TABLE strays ADD COLUMN surplus_of TEXT;
