-- The clock was set back: no Alertmanager waits longer than it must, by notifications_repeating.
UPDATE notifications SET repeat_at = :latest WHERE repeat_at > :latest;
