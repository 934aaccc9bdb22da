-- The pause of a space, by primary key; also one that has ended by itself or was ended.
SELECT is_paused, paused_until, paused_by, paused_note, updated_at FROM space_pauses WHERE space_guid = :space_guid;
