-- How many of the newest :most executions were created after :since, by state. :spaces is a JSON array; NULL: all.
SELECT e.state, COUNT(*) AS total
  FROM (SELECT executable_id, state, created_at FROM executions ORDER BY id DESC LIMIT :most) AS e
 CROSS JOIN executables AS x --sqlite
--pg CROSS JOIN LATERAL (SELECT * FROM executables WHERE id = e.executable_id OFFSET 0) AS x
 WHERE e.created_at > :since AND x.id = e.executable_id AND (x.deleted_at IS NULL) IS TRUE
   AND (CAST(:spaces AS TEXT) IS NULL OR x.space_guid IN (SELECT value FROM json_each(:spaces))) --sqlite
--pg AND (CAST(:spaces AS TEXT) IS NULL
--pg      OR x.space_guid IN (SELECT value FROM json_array_elements_text(CAST(:spaces AS JSON))))
 GROUP BY e.state;
