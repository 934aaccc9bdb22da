-- How many there are in several spaces (a JSON array), which is counted already, and the last of them.
SELECT COALESCE(SUM((SELECT size FROM space_sizes WHERE kind = :kind AND space_guid = value)), 0),
       COALESCE(MAX((SELECT MAX(id) FROM executables WHERE space_guid = value AND kind = :kind AND deleted_at IS NULL)), 0)
  FROM json_each(:space_guids);
