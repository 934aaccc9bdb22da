-- The number of notifications in some spaces (a JSON array), or in all (NULL). A space has few.
SELECT COUNT(*) AS total, COALESCE(MAX(n.id), 0) AS last_id
  FROM notifications AS n
 WHERE (:all_spaces = 1 OR n.space_guid IN (SELECT value FROM json_each(:space_guids))) --sqlite
--pg WHERE (CAST(:all_spaces AS BIGINT) = 1
--pg        OR n.space_guid IN (SELECT value FROM json_array_elements_text(CAST(:space_guids AS JSON))))
;
