-- Begins an attempt: no other process sends for this notification, and the next attempt waits a second.
UPDATE notifications SET owner = :fence, free_at = :free_at, repeat_at = :repeat_at WHERE id = :id;
