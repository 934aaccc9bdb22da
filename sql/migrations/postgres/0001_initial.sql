-- Jobs and calls, their schedules and executions, the processes that share them, and names of tasks to look
-- for.
--
-- Times are nanoseconds since 1970 in UTC. Ids follow the order of creation and are never reused.

-- The database's clock, which all processes follow.
CREATE FUNCTION now_nanos() RETURNS BIGINT LANGUAGE sql VOLATILE AS
    $$ SELECT CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000000 AS BIGINT) * 1000 $$;

CREATE TABLE executables (
    id                 BIGINT  GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    guid               TEXT    NOT NULL UNIQUE,
    kind               TEXT    NOT NULL CHECK (kind IN ('job', 'call')),
    name               TEXT    NOT NULL,
    app_guid           TEXT    NOT NULL,
    space_guid         TEXT    NOT NULL,
    command            TEXT,
    disk_in_mb         BIGINT  CHECK (disk_in_mb BETWEEN 1 AND 2147483647),
    memory_in_mb       BIGINT  CHECK (memory_in_mb BETWEEN 1 AND 2147483647),
    -- The outcome of the execution created last among the ended ones, and which that was.
    state              TEXT    CHECK (state IN ('PENDING', 'SUCCEEDED', 'FAILED')),
    state_execution_id BIGINT  NOT NULL DEFAULT 0,
    url                TEXT,
    auth_header        TEXT,
    created_at         BIGINT  NOT NULL,
    updated_at         BIGINT  NOT NULL,
    -- Set: gone for every reader. The rows follow in small batches.
    deleted_at         BIGINT,
    CHECK ((kind = 'job') = (command IS NOT NULL AND disk_in_mb IS NOT NULL AND memory_in_mb IS NOT NULL
                             AND state IS NOT NULL)),
    CHECK ((kind = 'call') = (url IS NOT NULL AND auth_header IS NOT NULL))
);

-- A name is unique among an app's jobs or calls. Deleting one frees its name.
CREATE UNIQUE INDEX executables_by_name  ON executables (app_guid, kind, name) WHERE deleted_at IS NULL;
CREATE INDEX        executables_by_space ON executables (space_guid, kind, id) WHERE deleted_at IS NULL;
CREATE INDEX        executables_by_kind  ON executables (kind, id)             WHERE deleted_at IS NULL;
CREATE INDEX        executables_deleted  ON executables (id)                   WHERE deleted_at IS NOT NULL;

CREATE TABLE schedules (
    id             BIGINT  GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    guid           TEXT    NOT NULL UNIQUE,
    executable_id  BIGINT  NOT NULL REFERENCES executables (id),
    enabled        BOOLEAN NOT NULL,
    expression     TEXT    NOT NULL,
    -- NULL: never again, or disabled, or deleted.
    next_fire_time BIGINT,
    -- When next_fire_time was computed: a schedule that was planned in what is now the future is planned anew.
    planned_at     BIGINT  NOT NULL,
    created_at     BIGINT  NOT NULL,
    updated_at     BIGINT  NOT NULL,
    -- Set: gone for clients. The row stays as long as executions refer to it.
    deleted_at     BIGINT,
    CHECK (next_fire_time IS NULL OR (enabled AND deleted_at IS NULL))
);

CREATE INDEX schedules_due           ON schedules (next_fire_time, id) WHERE next_fire_time IS NOT NULL;
CREATE INDEX schedules_by_planned_at ON schedules (planned_at)         WHERE next_fire_time IS NOT NULL;
CREATE INDEX schedules_by_executable ON schedules (executable_id, id);
CREATE INDEX schedules_deleted       ON schedules (id)                 WHERE deleted_at IS NOT NULL;

CREATE TABLE executions (
    id             BIGINT  GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    guid           TEXT    NOT NULL UNIQUE,
    executable_id  BIGINT  NOT NULL REFERENCES executables (id),
    -- NULL, both: started by hand.
    schedule_id    BIGINT  REFERENCES schedules (id),
    scheduled_time BIGINT,
    -- Whether it is a job's or a call's: each kind is handed out by itself, so that neither waits for the other.
    kind           TEXT    NOT NULL CHECK (kind IN ('job', 'call')),
    state          TEXT    NOT NULL CHECK (state IN ('PENDING', 'RUNNING', 'SUCCEEDED', 'FAILED')),
    -- The lease of the process that has it in hand; NULL: none has.
    owner          BIGINT,
    -- What was known when it was created, such as the missed fire times that it stands for.
    note           TEXT    NOT NULL DEFAULT '',
    message        TEXT    NOT NULL DEFAULT '',
    task_guid      TEXT,
    -- When somebody asked for it: by hand, or by making its schedule.
    asked_at       BIGINT  NOT NULL,
    created_at     BIGINT  NOT NULL,
    -- When it is to be handed to a worker: its fire time, or that of the next attempt.
    dispatch_time  BIGINT,
    attempts       BIGINT  NOT NULL DEFAULT 0,
    -- How often the platform could not be asked in a row, and when that is too long.
    failures       BIGINT  NOT NULL DEFAULT 0,
    give_up_at     BIGINT,
    start_time     BIGINT,
    -- A task may exist that we have not heard of; that there is none counts only from this instant on.
    doubt_until    BIGINT,
    end_time       BIGINT,
    CHECK ((schedule_id IS NULL) = (scheduled_time IS NULL)),
    CHECK ((state = 'PENDING') = (dispatch_time IS NOT NULL)),
    CHECK ((state IN ('SUCCEEDED', 'FAILED')) = (end_time IS NOT NULL))
);

-- A fire time yields at most one execution.
CREATE UNIQUE INDEX executions_by_fire_time  ON executions (schedule_id, scheduled_time) WHERE schedule_id IS NOT NULL;
CREATE INDEX        executions_by_executable ON executions (executable_id, id);
CREATE INDEX        executions_by_schedule   ON executions (schedule_id, id)             WHERE schedule_id IS NOT NULL;
CREATE INDEX        executions_to_dispatch   ON executions (kind, dispatch_time, id)     WHERE dispatch_time IS NOT NULL;
CREATE INDEX        executions_by_asked_at   ON executions (kind, asked_at, id)          WHERE dispatch_time IS NOT NULL;
CREATE INDEX        executions_pending       ON executions (executable_id, schedule_id)  WHERE state = 'PENDING';
CREATE INDEX        executions_by_owner      ON executions (owner, id)                   WHERE owner IS NOT NULL;
CREATE INDEX        executions_unfollowed    ON executions (id)                          WHERE state = 'RUNNING' AND owner IS NULL;
CREATE INDEX        executions_ended         ON executions (end_time)                    WHERE end_time IS NOT NULL;

-- The processes that share the database. Lease numbers grow: if two leases claim the same row, the greater
-- one is right.
CREATE TABLE instances (
    id          BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    lease_until BIGINT NOT NULL
);

-- Names of tasks that may exist although their execution has ended. They are looked for and cancelled.
CREATE TABLE strays (
    name        TEXT   COLLATE "C" PRIMARY KEY,
    doubt_until BIGINT NOT NULL
);

-- The length of each history, because counting a million rows is slow. Each connection counts in its own row,
-- so that none waits for another; the length is their sum.
CREATE TABLE history_sizes (
    owner    TEXT   NOT NULL CHECK (owner IN ('executable', 'schedule')),
    owner_id BIGINT NOT NULL,
    share    BIGINT NOT NULL,
    size     BIGINT NOT NULL,
    PRIMARY KEY (owner, owner_id, share)
);

-- The number of jobs and calls of each space, kept in the same way, without those marked as deleted.
CREATE TABLE space_sizes (
    kind       TEXT   NOT NULL,
    space_guid TEXT   NOT NULL,
    share      BIGINT NOT NULL,
    size       BIGINT NOT NULL,
    PRIMARY KEY (kind, space_guid, share)
);

-- Runs once for each statement, in order of owners, so that no two statements deadlock.
CREATE FUNCTION executions_counted() RETURNS TRIGGER LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO history_sizes (owner, owner_id, share, size)
    SELECT owner, owner_id, pg_backend_pid() % 32, CASE WHEN TG_OP = 'INSERT' THEN COUNT(*) ELSE -COUNT(*) END
      FROM (SELECT 'executable' AS owner, executable_id AS owner_id FROM changed
             UNION ALL
            SELECT 'schedule', schedule_id FROM changed WHERE schedule_id IS NOT NULL) AS owners
     GROUP BY owner, owner_id
     ORDER BY owner, owner_id
        ON CONFLICT (owner, owner_id, share) DO UPDATE SET size = history_sizes.size + EXCLUDED.size;
    RETURN NULL;
END $$;
CREATE TRIGGER executions_counted AFTER INSERT ON executions REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION executions_counted();

CREATE TRIGGER executions_uncounted AFTER DELETE ON executions REFERENCING OLD TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION executions_counted();

-- Deletes an owner's rows together with the owner, whose executions were deleted before.
CREATE FUNCTION executables_gone() RETURNS TRIGGER LANGUAGE plpgsql AS $$
BEGIN
    DELETE FROM history_sizes WHERE owner = 'executable' AND owner_id = OLD.id;
    RETURN NULL;
END $$;
CREATE TRIGGER executables_gone AFTER DELETE ON executables FOR EACH ROW EXECUTE FUNCTION executables_gone();

CREATE FUNCTION schedules_gone() RETURNS TRIGGER LANGUAGE plpgsql AS $$
BEGIN
    DELETE FROM history_sizes WHERE owner = 'schedule' AND owner_id = OLD.id;
    RETURN NULL;
END $$;
CREATE TRIGGER schedules_gone AFTER DELETE ON schedules FOR EACH ROW EXECUTE FUNCTION schedules_gone();

CREATE FUNCTION executables_counted() RETURNS TRIGGER LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO space_sizes (kind, space_guid, share, size)
    VALUES (NEW.kind, NEW.space_guid, pg_backend_pid() % 32, CASE WHEN TG_OP = 'INSERT' THEN 1 ELSE -1 END)
        ON CONFLICT (kind, space_guid, share) DO UPDATE SET size = space_sizes.size + EXCLUDED.size;
    RETURN NULL;
END $$;
CREATE TRIGGER executables_counted AFTER INSERT ON executables
    FOR EACH ROW WHEN (NEW.deleted_at IS NULL) EXECUTE FUNCTION executables_counted();
CREATE TRIGGER executables_uncounted AFTER UPDATE OF deleted_at ON executables
    FOR EACH ROW WHEN (OLD.deleted_at IS NULL AND NEW.deleted_at IS NOT NULL) EXECUTE FUNCTION executables_counted();
