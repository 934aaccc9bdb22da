-- What is to be handed to workers by now, in order of time, by executions_to_dispatch. Of all apps, but for some (a JSON
-- array) that have their share already.
SELECT e.id, e.guid, x.guid, e.scheduled_time, e.dispatch_time, e.attempts, e.failures, e.doubt_until, e.give_up_at,
       x.app_guid, x.kind, x.command, x.disk_in_mb, x.memory_in_mb, x.state, x.url, x.auth_header,
       e.request_id
  FROM executions AS e CROSS JOIN executables AS x ON x.id = e.executable_id
 WHERE e.kind = :kind AND e.dispatch_time <= :now
   AND x.app_guid NOT IN (SELECT value FROM json_each(:but_apps))
 ORDER BY e.dispatch_time, e.id
 LIMIT :limit;
