-- A batch of the names to look for, by key. Each is the guid of an execution, which may be gone.
SELECT s.name, s.doubt_until, COALESCE((SELECT e.request_id FROM executions AS e WHERE e.guid = s.name), '') AS request_id
  FROM strays AS s
 WHERE s.name > :after
 ORDER BY s.name
 LIMIT :limit;
