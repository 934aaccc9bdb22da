-- How many there are in several spaces (a JSON array), and the last of them.
SELECT COUNT(*), COALESCE(MAX(id), 0)
  FROM executables
 WHERE kind = :kind AND deleted_at IS NULL AND space_guid IN (SELECT value FROM json_each(:space_guids));
