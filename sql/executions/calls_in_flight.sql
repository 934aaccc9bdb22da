-- Calls that have started and not ended, by executions_running; on PostgreSQL those under one lease, by
-- executions_by_owner.
SELECT e.id, e.guid, e.kind, e.request_id, x.guid AS executable_guid, x.name
  FROM executions AS e CROSS JOIN executables AS x
 WHERE e.state = 'RUNNING' AND e.kind = 'call' AND x.id = e.executable_id
--pg AND e.owner = :fence
 ORDER BY e.id;
