-- The ids of the jobs, the calls or both of these spaces, at most :limit, by executables_by_space.
SELECT id
  FROM executables
 WHERE deleted_at IS NULL
   AND space_guid IN (SELECT value FROM json_each(:spaces)) --sqlite
--pg AND space_guid = ANY (ARRAY(SELECT json_array_elements_text(CAST(:spaces AS JSON))))
   AND kind IN (SELECT value FROM json_each(:kinds)) --sqlite
--pg AND kind = ANY (ARRAY(SELECT json_array_elements_text(CAST(:kinds AS JSON))))
 LIMIT :limit;
