-- Repeats the active alerts to an Alertmanager from now on.
UPDATE notifications
   SET repeat_at = CAST(:now AS BIGINT)
 WHERE guid = :guid AND format = 'alertmanager' AND enabled AND repeat_at IS NULL;
