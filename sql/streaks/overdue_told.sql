-- Reported only once.
UPDATE streaks SET success_due_at = NULL WHERE executable_id = :executable_id;
