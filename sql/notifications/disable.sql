-- The receiver has said that it is gone for good.
UPDATE notifications
   SET enabled = FALSE, disabled_reason = :reason, repeat_at = NULL, updated_at = :updated_at
 WHERE id = :id;
