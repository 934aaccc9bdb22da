-- The number of jobs and calls of each space, without those marked as deleted, for the same reason as
-- history_sizes.
CREATE TABLE space_sizes (
    kind       TEXT    NOT NULL,
    space_guid TEXT    NOT NULL,
    size       INTEGER NOT NULL,
    PRIMARY KEY (kind, space_guid)
) STRICT, WITHOUT ROWID;

INSERT INTO space_sizes (kind, space_guid, size)
SELECT kind, space_guid, COUNT(*) FROM executables WHERE deleted_at IS NULL GROUP BY kind, space_guid;

CREATE TRIGGER executables_counted AFTER INSERT ON executables WHEN NEW.deleted_at IS NULL BEGIN
    INSERT INTO space_sizes (kind, space_guid, size) VALUES (NEW.kind, NEW.space_guid, 1)
        ON CONFLICT DO UPDATE SET size = size + 1;
END;

CREATE TRIGGER executables_uncounted AFTER UPDATE OF deleted_at ON executables
    WHEN OLD.deleted_at IS NULL AND NEW.deleted_at IS NOT NULL BEGIN
    UPDATE space_sizes SET size = size - 1 WHERE kind = OLD.kind AND space_guid = OLD.space_guid;
END;

-- No row stands for zero, so that the row of an empty space can go.
CREATE TRIGGER space_emptied AFTER UPDATE ON space_sizes WHEN NEW.size = 0 BEGIN
    DELETE FROM space_sizes WHERE kind = NEW.kind AND space_guid = NEW.space_guid;
END;
