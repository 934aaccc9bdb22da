-- A batch of the events from before :before, by primary key. Ids are in order of time, so nothing beyond the
-- first batch is read.
DELETE FROM audit_events
 WHERE id IN (SELECT oldest.id
                FROM (SELECT id, created_at FROM audit_events ORDER BY id LIMIT :limit) AS oldest
               WHERE oldest.created_at < :before);
