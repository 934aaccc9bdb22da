-- Which of these executions (a JSON array of ids) belong to jobs, by primary key. PostgreSQL locks the jobs,
-- whose states are about to change: before the executions, as a deletion does, and in order, so that two of
-- these statements cannot deadlock.
SELECT e.id
  FROM executions AS e CROSS JOIN executables AS x
 WHERE e.id IN (SELECT value FROM json_each(:ids)) --sqlite
--pg WHERE e.id = ANY (ARRAY (SELECT CAST(value AS BIGINT) FROM json_array_elements_text(CAST(:ids AS JSON))))
   AND e.kind = 'job' AND x.id = e.executable_id
--pg ORDER BY +x.id
--pg FOR NO KEY UPDATE OF x
;
