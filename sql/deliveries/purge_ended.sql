-- A batch of the deliveries that ended before :before, by deliveries_ended.
DELETE FROM deliveries
 WHERE id IN (SELECT id FROM deliveries WHERE ended_at < :before ORDER BY ended_at LIMIT :limit);
