-- Deliveries that were being sent, alone or in a summary, while a newer one about the same job or call was
-- added.
UPDATE deliveries
   SET state = 'SUPERSEDED', due_at = NULL, ended_at = :now
 WHERE (id = :id OR folded_into = :id) AND ended_at IS NULL AND state IN ('WAITING', 'FOLDED')
   AND EXISTS (SELECT 1 FROM deliveries AS newer
                WHERE newer.notification_id = deliveries.notification_id
                  AND newer.executable_id = deliveries.executable_id AND newer.ended_at IS NULL
                  AND newer.id > deliveries.id);
