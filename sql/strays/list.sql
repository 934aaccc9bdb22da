-- A batch of the names to look for, by key. Each is the guid of an execution; once that is gone, nobody knows the app.
SELECT s.name, s.doubt_until,
       COALESCE((SELECT e.request_id FROM executions AS e WHERE e.guid = s.name), '') AS request_id,
       (SELECT x.app_guid FROM executables AS x
         WHERE x.id = (SELECT e.executable_id FROM executions AS e WHERE e.guid = s.name)) AS app_guid
  FROM strays AS s
 WHERE s.name > :after
 ORDER BY s.name
 LIMIT :limit;
