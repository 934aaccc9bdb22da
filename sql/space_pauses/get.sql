-- The pause of a space, by primary key, even if it is over.
SELECT is_paused, paused_until, paused_by, paused_note, updated_at FROM space_pauses
 WHERE space_guid = :space_guid;
