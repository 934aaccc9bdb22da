-- Spaces that are or were paused. No schedule of a paused space fires.
CREATE TABLE space_pauses (
    space_guid   TEXT    PRIMARY KEY,
    is_paused    BOOLEAN NOT NULL,
    -- It ends by itself then; NULL: it does not.
    paused_until BIGINT,
    paused_by    TEXT    NOT NULL,
    paused_note  TEXT,
    -- When it was resumed: fire times up to here are not made up for.
    resumed_at   BIGINT,
    updated_at   BIGINT  NOT NULL
);
