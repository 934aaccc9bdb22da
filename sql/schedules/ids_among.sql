-- The ids of the schedules with these guids, by the unique index of guid.
SELECT id
  FROM schedules
 WHERE guid IN (SELECT value FROM json_each(:guids)); --sqlite
--pg WHERE guid = ANY (ARRAY(SELECT json_array_elements_text(CAST(:guids AS JSON))));
