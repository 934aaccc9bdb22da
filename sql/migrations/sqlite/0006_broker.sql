-- The service instances and bindings that the broker has created.
CREATE TABLE service_instances (
    id                TEXT    PRIMARY KEY,
    service_id        TEXT    NOT NULL,
    plan_id           TEXT    NOT NULL,
    organization_guid TEXT    NOT NULL,
    space_guid        TEXT    NOT NULL,
    -- JSON objects, as text with their fields in order, so that equal ones are equal texts.
    parameters        TEXT    NOT NULL,
    context           TEXT    NOT NULL,
    created_at        INTEGER NOT NULL,
    updated_at        INTEGER NOT NULL
) STRICT;
CREATE INDEX service_instances_by_space ON service_instances (space_guid);

CREATE TABLE service_bindings (
    id           TEXT    PRIMARY KEY,
    instance_id  TEXT    NOT NULL REFERENCES service_instances (id),
    service_id   TEXT    NOT NULL,
    plan_id      TEXT    NOT NULL,
    -- Empty: a service key.
    app_guid     TEXT    NOT NULL,
    parameters   TEXT    NOT NULL,
    -- What its credentials say, the same for as long as it is there.
    api_endpoint TEXT    NOT NULL,
    created_at   INTEGER NOT NULL
) STRICT;
CREATE INDEX service_bindings_by_instance ON service_bindings (instance_id);

-- Spaces that have, or had, an instance. A space is suspended if its last instance was deleted while one was
-- required: its schedules have no next fire time until it has an instance again.
CREATE TABLE service_spaces (
    space_guid   TEXT    PRIMARY KEY,
    is_suspended INTEGER NOT NULL CHECK (is_suspended IN (0, 1))
) STRICT;
