-- A batch of those from before :before, by primary key: as the order of ids is that of time, nothing is
-- looked
-- at beyond the first batch.
DELETE FROM audit_events
 WHERE id IN (SELECT oldest.id
                FROM (SELECT id, created_at FROM audit_events ORDER BY id LIMIT :limit) AS oldest
               WHERE oldest.created_at < :before);
