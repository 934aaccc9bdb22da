-- The number of jobs or calls in several spaces (a JSON array), from the counts kept for them, and the last
-- id, by executables_by_space.
SELECT COALESCE(CAST(SUM((SELECT SUM(size) FROM space_sizes WHERE kind = :kind
                          AND space_guid = value)) AS BIGINT), 0) AS total,
       COALESCE(MAX((SELECT MAX(id) FROM executables WHERE space_guid = value AND kind = :kind
                     AND deleted_at IS NULL)), 0)
           AS last_id
  FROM json_each(:space_guids) --sqlite
--pg FROM json_array_elements_text(CAST(:space_guids AS JSON))
;
