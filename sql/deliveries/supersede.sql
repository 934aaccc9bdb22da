-- A newer delivery about the same job or call replaces those that wait.
UPDATE deliveries
   SET state = 'SUPERSEDED', due_at = NULL, ended_at = :now
 WHERE notification_id IN (SELECT value FROM json_each(:notification_ids)) --sqlite
--pg WHERE notification_id = ANY (ARRAY (SELECT CAST(value AS BIGINT)
--pg                                       FROM json_array_elements_text(CAST(:notification_ids AS JSON))))
   AND executable_id = :executable_id AND ended_at IS NULL
   AND (state = 'WAITING'
        OR state = 'FOLDED' AND EXISTS (SELECT 1 FROM deliveries AS s
                                         WHERE s.id = deliveries.folded_into AND s.state = 'WAITING'));
