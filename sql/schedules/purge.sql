-- A batch of deleted schedules without executions, by schedules_deleted.
DELETE FROM schedules
 WHERE id IN (SELECT s.id
                FROM schedules AS s
               WHERE s.deleted_at IS NOT NULL
                 AND NOT EXISTS (SELECT 1 FROM executions AS e WHERE e.schedule_id = s.id)
               LIMIT :limit);
