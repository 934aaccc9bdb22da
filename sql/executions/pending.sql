-- Due executions in order of time, by executions_to_dispatch, without those deleted or cancelled by a mark, and
-- without :known (a JSON array of ids).
-- On PostgreSQL only those of a portion (every :portions-th id), and those due before :late.
-- IS TRUE makes the planner find the executable by its key instead of a partial index.
SELECT e.id, e.guid, x.guid AS executable_guid, x.name, e.scheduled_time, e.dispatch_time, e.attempts,
       e.failures, e.doubt_until, e.give_up_at, e.task_name, x.app_guid, e.kind, e.share, e.request_id
  FROM executions AS e CROSS JOIN executables AS x
 WHERE e.kind = :kind AND e.dispatch_time <= :now AND x.id = e.executable_id
   AND (x.deleted_at IS NULL) IS TRUE
       AND e.id > COALESCE((SELECT s.cancelled_up_to FROM schedules AS s WHERE s.id = e.schedule_id), 0)
   AND e.id NOT IN (SELECT value FROM json_each(:known)) --sqlite
--pg AND e.id NOT IN (SELECT CAST(value AS BIGINT) FROM json_array_elements_text(CAST(:known AS JSON)))
--pg AND (e.id % :portions = :portion OR e.dispatch_time < :late)
--pg AND e.dispatch_time >= :since AND (e.owner IS NULL OR e.owner = :fence)
 ORDER BY e.dispatch_time, e.id
 LIMIT :limit;
