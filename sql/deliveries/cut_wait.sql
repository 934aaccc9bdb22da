-- The clock was set back: no delivery that was tried so often waits beyond :latest, by deliveries_due.
UPDATE deliveries SET due_at = :latest WHERE due_at > :latest AND attempts = :attempts;
