-- A batch of the pauses, by key, for another database. Those that were ended move along: what went by is not
-- made up for there, either.
SELECT space_guid, is_paused, paused_until, paused_by, paused_note, resumed_at, updated_at
  FROM space_pauses
 WHERE space_guid > :after
 ORDER BY space_guid
 LIMIT :limit;
