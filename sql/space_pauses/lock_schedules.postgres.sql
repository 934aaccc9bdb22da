-- Waits for claims of the space's schedules under way, so that a pause holds for every later claim.
SELECT s.id
  FROM executables AS x JOIN schedules AS s ON s.executable_id = x.id
 WHERE x.space_guid = :space_guid AND x.deleted_at IS NULL AND s.deleted_at IS NULL
 ORDER BY s.id
   FOR UPDATE OF s;
