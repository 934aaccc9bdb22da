-- The clock was set back: no reminder waits longer than the interval of its notification, by
-- alerts_to_remind_of.
UPDATE alerts
   SET remind_at = (SELECT CAST(:now AS BIGINT) + 1000000000 * n.remind_after_seconds
                      FROM notifications AS n WHERE n.id = notification_id)
 WHERE remind_at > (SELECT CAST(:now AS BIGINT) + 1000000000 * n.remind_after_seconds
                      FROM notifications AS n WHERE n.id = notification_id);
