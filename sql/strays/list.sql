-- A batch of tasks to look for, by key, with their executions, by the unique index of guid. The app is known
-- only while the execution exists.
SELECT s.name, s.doubt_until, COALESCE(e.request_id, '') AS request_id, s.surplus_of, e.state, e.task_guid,
       s.task_name AS stray_task_name, s.attempts AS stray_attempts, s.attempt AS stray_attempt, s.is_to_end,
       COALESCE(e.app_guid, (SELECT x.app_guid FROM executables AS x
                             WHERE x.id = e.executable_id)) AS app_guid
  FROM strays AS s LEFT JOIN executions AS e ON e.guid = COALESCE(s.surplus_of, s.name)
 WHERE s.name > :after
 ORDER BY s.name
 LIMIT :limit;
