-- Who did what. Ids are in order of time. There are few indexes, because a client waits while each row is
-- written.
CREATE TABLE audit_events (
    id          BIGINT  GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    guid        TEXT    NOT NULL,
    created_at  BIGINT  NOT NULL,
    type        TEXT    NOT NULL,
    actor_guid  TEXT    NOT NULL,
    actor_type  TEXT    NOT NULL CHECK (actor_type IN ('user', 'client')),
    actor_name  TEXT    NOT NULL,
    target_guid TEXT    NOT NULL,
    target_type TEXT    NOT NULL,
    target_name TEXT    NOT NULL,
    -- JSON: an object.
    data        TEXT    NOT NULL,
    -- '': of all spaces.
    space_guid  TEXT    NOT NULL,
    request_id  TEXT    NOT NULL
);

CREATE INDEX audit_events_by_space ON audit_events (space_guid, id);
