-- How many there are in several spaces (a JSON array), which is counted already, and the last of them.
SELECT COALESCE(CAST(SUM((SELECT SUM(size) FROM space_sizes WHERE kind = :kind AND space_guid = value)) AS BIGINT), 0),
       COALESCE(MAX((SELECT MAX(id) FROM executables WHERE space_guid = value AND kind = :kind AND deleted_at IS NULL)), 0)
  FROM json_array_elements_text(CAST(:space_guids AS JSON));
