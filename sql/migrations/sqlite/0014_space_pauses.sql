-- Spaces that are or were paused. No schedule of a paused space fires.
CREATE TABLE space_pauses (
    space_guid   TEXT    PRIMARY KEY,
    is_paused    INTEGER NOT NULL CHECK (is_paused IN (0, 1)),
    -- It ends by itself then; NULL: it does not.
    paused_until INTEGER,
    paused_by    TEXT    NOT NULL,
    paused_note  TEXT,
    -- When it was resumed: fire times up to here are not made up for.
    resumed_at   INTEGER,
    updated_at   INTEGER  NOT NULL
) STRICT;
