-- The last event that one request examines, in one space or in all, by audit_events_by_space or primary key.
-- No row: fewer are left.
SELECT id
  FROM audit_events
 WHERE id < :before_id AND (CAST(:space_guid AS TEXT) IS NULL OR space_guid = :space_guid)
 ORDER BY id DESC
 LIMIT 1 OFFSET :looked_at;
