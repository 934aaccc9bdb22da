-- The last of the events that a look at one space, or at all, comes to, by audit_events_by_space or primary
-- key. No row: it comes to the end.
SELECT id
  FROM audit_events
 WHERE id < :before_id AND (CAST(:space_guid AS TEXT) IS NULL OR space_guid = :space_guid)
 ORDER BY id DESC
 LIMIT 1 OFFSET :looked_at;
