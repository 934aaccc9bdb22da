-- An Alertmanager is sent what lasts, from now on.
UPDATE notifications
   SET repeat_at = CAST(:now AS BIGINT)
 WHERE guid = :guid AND format = 'alertmanager' AND enabled AND repeat_at IS NULL;
