-- Jobs and calls, their schedules, and their executions.
--
-- Times are nanoseconds since 1970 in UTC. Ids follow the order of creation. AUTOINCREMENT never reuses one,
-- so "created later" always means "greater id", whatever the clock did. The program checks lengths, because
-- SQLite's length() stops at the first NUL of a text.

CREATE TABLE executables (
    id                 INTEGER PRIMARY KEY AUTOINCREMENT,
    guid               TEXT    NOT NULL UNIQUE,
    kind               TEXT    NOT NULL CHECK (kind IN ('job', 'call')),
    name               TEXT    NOT NULL,
    app_guid           TEXT    NOT NULL,
    space_guid         TEXT    NOT NULL,
    command            TEXT,
    disk_in_mb         INTEGER CHECK (disk_in_mb BETWEEN 1 AND 2147483647),
    memory_in_mb       INTEGER CHECK (memory_in_mb BETWEEN 1 AND 2147483647),
    -- The outcome of the execution created last among the ended ones, and which that was.
    state              TEXT    CHECK (state IN ('PENDING', 'SUCCEEDED', 'FAILED')),
    state_execution_id INTEGER NOT NULL DEFAULT 0,
    url                TEXT,
    auth_header        TEXT,
    created_at         INTEGER NOT NULL,
    updated_at         INTEGER NOT NULL,
    -- Set: gone for every reader. The rows follow in small batches.
    deleted_at         INTEGER,
    CHECK ((kind = 'job') = (command IS NOT NULL AND disk_in_mb IS NOT NULL AND memory_in_mb IS NOT NULL
                             AND state IS NOT NULL)),
    CHECK ((kind = 'call') = (url IS NOT NULL AND auth_header IS NOT NULL))
) STRICT;

-- A name is unique among an app's jobs or calls. Deleting one frees its name.
CREATE UNIQUE INDEX executables_by_name  ON executables (app_guid, kind, name) WHERE deleted_at IS NULL;
CREATE INDEX        executables_by_space ON executables (space_guid, kind, id) WHERE deleted_at IS NULL;
CREATE INDEX        executables_by_kind  ON executables (kind, id)             WHERE deleted_at IS NULL;
CREATE INDEX        executables_deleted  ON executables (id)                   WHERE deleted_at IS NOT NULL;

CREATE TABLE schedules (
    id             INTEGER PRIMARY KEY AUTOINCREMENT,
    guid           TEXT    NOT NULL UNIQUE,
    executable_id  INTEGER NOT NULL REFERENCES executables (id),
    enabled        INTEGER NOT NULL CHECK (enabled IN (0, 1)),
    expression     TEXT    NOT NULL,
    -- NULL: never again, or disabled, or deleted.
    next_fire_time INTEGER,
    created_at     INTEGER NOT NULL,
    updated_at     INTEGER NOT NULL,
    -- Set: gone for clients. The row stays as long as executions refer to it.
    deleted_at     INTEGER,
    CHECK (next_fire_time IS NULL OR (enabled = 1 AND deleted_at IS NULL))
) STRICT;

CREATE INDEX schedules_due           ON schedules (next_fire_time)    WHERE next_fire_time IS NOT NULL;
CREATE INDEX schedules_by_executable ON schedules (executable_id, id);
CREATE INDEX schedules_deleted       ON schedules (id)                WHERE deleted_at IS NOT NULL;

CREATE TABLE executions (
    id             INTEGER PRIMARY KEY AUTOINCREMENT,
    guid           TEXT    NOT NULL UNIQUE,
    executable_id  INTEGER NOT NULL REFERENCES executables (id),
    -- NULL, both: started by hand.
    schedule_id    INTEGER REFERENCES schedules (id),
    scheduled_time INTEGER,
    state          TEXT    NOT NULL CHECK (state IN ('PENDING', 'RUNNING', 'SUCCEEDED', 'FAILED')),
    -- What was known when it was created, such as the missed fire times that it stands for.
    note           TEXT    NOT NULL DEFAULT '',
    message        TEXT    NOT NULL DEFAULT '',
    task_guid      TEXT,
    created_at     INTEGER NOT NULL,
    -- When it is to be handed to a worker: its fire time, or that of the next attempt.
    dispatch_time  INTEGER,
    attempts       INTEGER NOT NULL DEFAULT 0,
    start_time     INTEGER,
    -- When the latest attempt began that may have created a task which we have not heard of.
    unknown_since  INTEGER,
    end_time       INTEGER,
    CHECK ((schedule_id IS NULL) = (scheduled_time IS NULL)),
    CHECK ((state = 'PENDING') = (dispatch_time IS NOT NULL)),
    CHECK ((state IN ('SUCCEEDED', 'FAILED')) = (end_time IS NOT NULL))
) STRICT;

-- A fire time yields at most one execution.
CREATE UNIQUE INDEX executions_by_fire_time  ON executions (schedule_id, scheduled_time) WHERE schedule_id IS NOT NULL;
CREATE INDEX        executions_by_executable ON executions (executable_id, id);
CREATE INDEX        executions_by_schedule   ON executions (schedule_id, id)             WHERE schedule_id IS NOT NULL;
CREATE INDEX        executions_to_dispatch   ON executions (dispatch_time, id)           WHERE dispatch_time IS NOT NULL;
CREATE INDEX        executions_pending       ON executions (executable_id, schedule_id) WHERE state = 'PENDING';
CREATE INDEX        executions_running       ON executions (id)                          WHERE state = 'RUNNING';
CREATE INDEX        executions_ended         ON executions (end_time)                    WHERE end_time IS NOT NULL;
