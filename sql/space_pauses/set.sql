-- Pauses or resumes a space, or changes its pause. Guarded by the version that was read; 0: there was none.
INSERT INTO space_pauses (space_guid, is_paused, paused_until, paused_by, paused_note, resumed_at, updated_at)
VALUES (:space_guid, :is_paused, :paused_until, :paused_by, :paused_note, :resumed_at, :updated_at)
    ON CONFLICT (space_guid) DO UPDATE
   SET is_paused = :is_paused, paused_until = :paused_until, paused_by = :paused_by,
       paused_note = :paused_note,
       resumed_at = COALESCE(CAST(:resumed_at AS BIGINT), space_pauses.resumed_at), updated_at = :updated_at
 WHERE space_pauses.updated_at = :seen_updated_at;
