-- Which guids of another database (a JSON array) exist here, by the unique index of guid.
SELECT guid
  FROM executions
 WHERE guid IN (SELECT value FROM json_each(:guids)) --sqlite
--pg WHERE guid IN (SELECT value FROM json_array_elements_text(CAST(:guids AS JSON)))
;
