-- Also deletes its alerts and deliveries. No row: it was changed or deleted meanwhile.
DELETE FROM notifications WHERE id = :id AND updated_at = :seen_updated_at;
