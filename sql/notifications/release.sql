-- Ends an attempt. Guarded by the lease under which it began. No row: another process has taken over, or the
-- notification is gone.
UPDATE notifications
   SET owner = NULL,
       repeat_at = CASE WHEN enabled AND format = 'alertmanager'
                             AND EXISTS (SELECT 1 FROM alerts AS a WHERE a.notification_id = notifications.id)
                        THEN CAST(:repeat_at AS BIGINT) END
 WHERE id = :id AND owner = :fence;
