-- The first :each executions that are due of each share in :shares (a JSON array), by executions_by_share.
-- What is deleted and not cleared away yet must not take their places.
-- PostgreSQL looks up a share's rows by LATERAL only; the subquery that SQLite has would be evaluated for
-- each row of the table. IS TRUE keeps the planner from looking for executables in a partial index instead of
-- by their key.
SELECT e.id, e.guid, x.guid AS executable_guid, x.name, e.scheduled_time, e.dispatch_time, e.attempts, e.failures,
       e.doubt_until, e.give_up_at, e.task_name, x.app_guid, e.kind, e.share, e.request_id
  FROM json_array_elements_text(CAST(:shares AS JSON)) AS wanted (share)
 CROSS JOIN LATERAL (SELECT p.*
                       FROM executions AS p
                      WHERE p.kind = :kind AND p.share = wanted.share AND p.dispatch_time <= :now
                        AND p.id > COALESCE((SELECT s.cancelled_up_to FROM schedules AS s WHERE s.id = p.schedule_id), 0)
                        AND (p.owner IS NULL OR p.owner = :fence)
                        AND EXISTS (SELECT 1 FROM executables AS d
                                     WHERE d.id = p.executable_id AND (d.deleted_at IS NULL) IS TRUE)
                      ORDER BY p.dispatch_time, p.id
                      LIMIT :each) AS e
 CROSS JOIN executables AS x
 WHERE x.id = e.executable_id;
