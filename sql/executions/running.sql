-- The newest :limit running executions, by executions_running. :spaces is a JSON array; NULL: all.
SELECT e.guid, e.start_time, x.guid AS executable_guid, x.kind, x.name, x.app_guid, x.space_guid
  FROM executions AS e
 CROSS JOIN executables AS x --sqlite
--pg CROSS JOIN LATERAL (SELECT * FROM executables WHERE id = e.executable_id OFFSET 0) AS x
 WHERE e.state = 'RUNNING' AND x.id = e.executable_id AND (x.deleted_at IS NULL) IS TRUE
   AND (CAST(:spaces AS TEXT) IS NULL OR x.space_guid IN (SELECT value FROM json_each(:spaces))) --sqlite
--pg AND (CAST(:spaces AS TEXT) IS NULL
--pg      OR x.space_guid IN (SELECT value FROM json_array_elements_text(CAST(:spaces AS JSON))))
 ORDER BY e.id DESC
 LIMIT :limit;
