-- Notifications, their active alerts, and their deliveries.

CREATE TABLE notifications (
    id                   BIGINT  GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    guid                 TEXT    NOT NULL UNIQUE,
    space_guid           TEXT    NOT NULL,
    name                 TEXT    NOT NULL,
    url                  TEXT    NOT NULL,
    format               TEXT    NOT NULL CHECK (format IN ('standard', 'slack', 'alertmanager')),
    -- One, or two with a blank between them while one replaces the other.
    secret               TEXT,
    -- JSON: an object; NULL: none.
    headers              TEXT,
    -- JSON: lists. Guids of what was deleted stay, so that a list never comes to mean "all".
    events               TEXT    NOT NULL,
    job_guids            TEXT    NOT NULL,
    call_guids           TEXT    NOT NULL,
    label_selector       TEXT    NOT NULL,
    after_failures       BIGINT  NOT NULL CHECK (after_failures BETWEEN 1 AND 100),
    remind_after_seconds BIGINT CHECK (remind_after_seconds BETWEEN 3600 AND 604800),
    enabled              BOOLEAN NOT NULL,
    disabled_reason      TEXT,
    created_at           BIGINT  NOT NULL,
    updated_at           BIGINT  NOT NULL,
    -- Nothing is sent before: at most one delivery a second.
    free_at              BIGINT  NOT NULL DEFAULT 0,
    -- When the active alerts are sent again (Alertmanager); NULL: there are none.
    repeat_at            BIGINT,
    -- The lease of the process that is sending; NULL: none is.
    owner                BIGINT
);

CREATE UNIQUE INDEX notifications_by_name   ON notifications (space_guid, name);
CREATE INDEX        notifications_repeating ON notifications (repeat_at) WHERE repeat_at IS NOT NULL;

-- How often a job or call has failed in a row, and when it should have succeeded. Only for those that
-- somebody wants to hear about.
CREATE TABLE streaks (
    executable_id     BIGINT PRIMARY KEY REFERENCES executables (id) ON DELETE CASCADE,
    failures          BIGINT  NOT NULL DEFAULT 0,
    failing_since     BIGINT,
    -- The outcome that counts is that of the execution created last among the ended ones.
    last_execution_id BIGINT  NOT NULL DEFAULT 0,
    -- The latest of its last success, its creation, and the last change of what is expected; NULL: nothing is.
    expected_since    BIGINT,
    -- NULL: nothing is expected, or it is overdue already.
    success_due_at    BIGINT
);

CREATE INDEX streaks_due ON streaks (success_due_at) WHERE success_due_at IS NOT NULL;

-- Active alerts: the notifications that have reported a failing or overdue job or call.
CREATE TABLE alerts (
    notification_id BIGINT  NOT NULL REFERENCES notifications (id) ON DELETE CASCADE,
    executable_id   BIGINT  NOT NULL REFERENCES executables (id) ON DELETE CASCADE,
    event           TEXT    NOT NULL CHECK (event IN ('failed', 'overdue')),
    since           BIGINT  NOT NULL,
    -- JSON: what is said of it.
    data            TEXT    NOT NULL,
    -- Whether a delivery of it was tried. Otherwise nobody has to be told that it is over.
    is_told         BOOLEAN NOT NULL DEFAULT FALSE,
    remind_at       BIGINT,
    PRIMARY KEY (notification_id, executable_id, event)
);

CREATE INDEX alerts_by_executable ON alerts (executable_id);
CREATE INDEX alerts_to_remind_of  ON alerts (remind_at) WHERE remind_at IS NOT NULL;

-- The outbox. A delivery is written in the transaction of the change that it reports.
CREATE TABLE deliveries (
    id              BIGINT  GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    -- The same in each try.
    guid            TEXT    NOT NULL UNIQUE,
    notification_id BIGINT  NOT NULL REFERENCES notifications (id) ON DELETE CASCADE,
    -- The job or call that it is about; NULL: none, or many.
    executable_id   BIGINT,
    event           TEXT    NOT NULL CHECK (event IN ('failed', 'recovered', 'succeeded', 'overdue', 'reminder',
                                                      'summary', 'test')),
    data            TEXT    NOT NULL,
    state           TEXT    NOT NULL CHECK (state IN ('WAITING', 'SENDING', 'FOLDED', 'DELIVERED', 'FAILED',
                                                      'SUPERSEDED', 'DROPPED')),
    -- The summary that tells of it.
    folded_into     BIGINT,
    created_at      BIGINT  NOT NULL,
    due_at          BIGINT,
    attempts        BIGINT  NOT NULL DEFAULT 0,
    -- A try was cut off by the end of its process: it is sent again as it was, never in a summary.
    is_cut_off      BOOLEAN NOT NULL DEFAULT FALSE,
    last_status     BIGINT,
    last_error      TEXT,
    ended_at        BIGINT,
    CHECK ((state IN ('WAITING', 'SENDING')) = (due_at IS NOT NULL)),
    CHECK ((state IN ('DELIVERED', 'FAILED', 'SUPERSEDED', 'DROPPED')) = (ended_at IS NOT NULL))
);

CREATE INDEX deliveries_by_notification ON deliveries (notification_id, id);
CREATE INDEX deliveries_due             ON deliveries (due_at)                         WHERE due_at IS NOT NULL;
CREATE INDEX deliveries_waiting         ON deliveries (notification_id, executable_id) WHERE ended_at IS NULL;
CREATE INDEX deliveries_folded          ON deliveries (folded_into)                    WHERE folded_into IS NOT NULL;
CREATE INDEX deliveries_ended           ON deliveries (ended_at)                       WHERE ended_at IS NOT NULL;

-- For existing jobs and calls, the time for the next success starts now.
INSERT INTO streaks (executable_id, expected_since, success_due_at)
SELECT id, now_nanos(), now_nanos() + expect_success_within_seconds * 1000000000
  FROM executables
 WHERE expect_success_within_seconds IS NOT NULL AND deleted_at IS NULL;
