-- What is to be handed to workers by now, in order of time, by executions_to_dispatch.
SELECT e.id, e.guid, x.guid, e.scheduled_time, e.attempts, e.start_time, e.unknown_since, x.app_guid, x.kind, x.command,
       x.disk_in_mb, x.memory_in_mb, x.state, x.url, x.auth_header
  FROM executions AS e CROSS JOIN executables AS x ON x.id = e.executable_id
 WHERE e.dispatch_time <= :now
 ORDER BY e.dispatch_time, e.id
 LIMIT :limit;
