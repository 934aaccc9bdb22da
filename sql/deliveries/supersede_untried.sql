-- Deletes waiting deliveries about a job or call that were never tried, before a newer one about it is added.
-- By deliveries_waiting.
DELETE FROM deliveries
 WHERE notification_id IN (SELECT value FROM json_each(:notification_ids)) --sqlite
--pg WHERE notification_id = ANY (ARRAY (SELECT CAST(value AS BIGINT)
--pg                                       FROM json_array_elements_text(CAST(:notification_ids AS JSON))))
   AND executable_id = :executable_id AND ended_at IS NULL
   AND attempts = 0 AND (state = 'WAITING' AND NOT is_cut_off
        OR state = 'FOLDED' AND EXISTS (SELECT 1 FROM deliveries AS s
                                         WHERE s.id = deliveries.folded_into AND s.state = 'WAITING'
                                           AND s.attempts = 0 AND NOT s.is_cut_off));
