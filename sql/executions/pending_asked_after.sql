-- Due executions that were requested after :asked_after, latest first, by executions_by_asked_at, to which
-- the + holds the planner. PostgreSQL uses that index only if its condition is repeated word for word. The IS
-- TRUE of deleted_at makes the planner find the executable by its key instead of a partial index.
SELECT e.id, e.guid, x.guid AS executable_guid, x.name, e.scheduled_time, e.dispatch_time, e.attempts,
       e.failures, e.doubt_until, e.give_up_at, e.task_name, x.app_guid, e.kind, e.share, e.request_id
  FROM executions AS e CROSS JOIN executables AS x
 WHERE e.kind = :kind AND e.asked_at > :asked_after AND +e.dispatch_time <= :now AND x.id = e.executable_id
   AND (x.deleted_at IS NULL) IS TRUE
       AND e.id > COALESCE((SELECT s.cancelled_up_to FROM schedules AS s WHERE s.id = e.schedule_id), 0)
--pg AND (e.owner IS NULL OR e.owner = :fence)
--pg AND (e.dispatch_time IS NOT NULL) IS TRUE
 ORDER BY e.asked_at DESC, e.id DESC
 LIMIT :limit;
