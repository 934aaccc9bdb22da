-- It is told once.
UPDATE streaks SET success_due_at = NULL WHERE executable_id = :executable_id;
