-- Executions that are due and were requested after :asked_after, the latest first, by executions_by_asked_at, to which the + holds
-- the planner.
SELECT e.id, e.guid, x.guid AS executable_guid, e.scheduled_time, e.dispatch_time, e.attempts, e.failures, e.doubt_until,
       e.give_up_at, x.app_guid, x.kind, x.command, x.disk_in_mb, x.memory_in_mb, x.state, x.url, x.auth_header, x.method, x.headers, x.body,
       x.success_statuses, x.signing_secret, x.timeout_seconds, e.request_id
  FROM executions AS e CROSS JOIN executables AS x
 WHERE e.kind = :kind AND e.asked_at > :asked_after AND +e.dispatch_time <= :now AND x.id = e.executable_id
--pg AND (e.owner IS NULL OR e.owner = :fence)
 ORDER BY e.asked_at DESC, e.id DESC
 LIMIT :limit;
