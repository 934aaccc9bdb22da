-- A batch of pauses, by key, for another database. Pauses that were ended are included, so that fire times
-- missed during them are not made up for there either.
SELECT space_guid, is_paused, paused_until, paused_by, paused_note, resumed_at, updated_at
  FROM space_pauses
 WHERE space_guid > :after
 ORDER BY space_guid
 LIMIT :limit;
