-- The receiver answered that it is gone for good (410).
UPDATE notifications
   SET enabled = FALSE, disabled_reason = :reason, repeat_at = NULL, updated_at = :updated_at
 WHERE id = :id;
