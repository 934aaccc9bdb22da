-- Executions that are due, in order of time, by executions_to_dispatch; none of the apps in :but_apps (a JSON array), which have
-- their share already.
SELECT e.id, e.guid, x.guid AS executable_guid, e.scheduled_time, e.dispatch_time, e.attempts, e.failures, e.doubt_until,
       e.give_up_at, x.app_guid, x.kind, x.command, x.disk_in_mb, x.memory_in_mb, x.state, x.url, x.auth_header, x.method, x.headers, x.body,
       x.success_statuses, x.signing_secret, x.timeout_seconds, e.request_id
  FROM executions AS e CROSS JOIN executables AS x
 WHERE e.kind = :kind AND e.dispatch_time <= :now AND x.id = e.executable_id
   AND x.app_guid NOT IN (SELECT value FROM json_each(:but_apps)) --sqlite
--pg AND x.app_guid NOT IN (SELECT value FROM json_array_elements_text(CAST(:but_apps AS JSON)))
--pg AND (e.owner IS NULL OR e.owner = :fence)
 ORDER BY e.dispatch_time, e.id
 LIMIT :limit;
