-- The ids of the jobs and calls with these guids, by the unique index of guid.
SELECT id
  FROM executables
 WHERE (deleted_at IS NULL) IS TRUE
   AND guid IN (SELECT value FROM json_each(:guids)); --sqlite
--pg AND guid = ANY (ARRAY(SELECT json_array_elements_text(CAST(:guids AS JSON))));
