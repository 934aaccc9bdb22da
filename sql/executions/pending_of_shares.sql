-- The first :each due executions of each share in :shares (a JSON array), by executions_by_share. Deleted
-- executions that remain to be purged must not take places.
SELECT e.id, e.guid, x.guid AS executable_guid, x.name, e.scheduled_time, e.dispatch_time, e.attempts,
       e.failures, e.doubt_until, e.give_up_at, e.task_name, x.app_guid, e.kind, e.share, e.request_id
  FROM json_each(:shares) AS wanted CROSS JOIN executions AS e CROSS JOIN executables AS x
 WHERE e.id IN (SELECT p.id
                  FROM executions AS p
                 WHERE p.kind = :kind AND p.share = wanted.value AND p.dispatch_time <= :now
                   AND p.id > COALESCE((SELECT s.cancelled_up_to FROM schedules AS s
                                        WHERE s.id = p.schedule_id), 0)
                   AND EXISTS (SELECT 1 FROM executables AS d WHERE d.id = p.executable_id
                               AND d.deleted_at IS NULL)
                 ORDER BY p.dispatch_time, p.id
                 LIMIT :each)
   AND x.id = e.executable_id;
