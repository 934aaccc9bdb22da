-- The ids of the jobs and calls whose name contains a text, at most :limit. It reads all names, but only the
-- narrow executables_by_name.
SELECT id
  FROM executables INDEXED BY executables_by_name --sqlite
--pg FROM executables
 WHERE deleted_at IS NULL
   AND name LIKE :name_pattern ESCAPE '\' --sqlite
--pg AND name ILIKE :name_pattern
   AND (CAST(:kind AS TEXT) IS NULL OR kind = :kind)
   AND (CAST(:spaces AS TEXT) IS NULL OR space_guid IN (SELECT value FROM json_each(:spaces))) --sqlite
--pg AND (CAST(:spaces AS TEXT) IS NULL
--pg      OR space_guid IN (SELECT value FROM json_array_elements_text(CAST(:spaces AS JSON))))
 LIMIT :limit;
