-- The pause of a space in another database. No row: the space has one here, which stays as it is.
INSERT INTO space_pauses (space_guid, is_paused, paused_until, paused_by, paused_note, resumed_at, updated_at)
VALUES (:space_guid, :is_paused, :paused_until, :paused_by, :paused_note, :resumed_at, :updated_at)
    ON CONFLICT (space_guid) DO NOTHING;
