-- The first :each due executions of each share in :shares (a JSON array), by executions_by_share. Deleted
-- executions that remain to be purged must not take places. Nothing is due before :since; see look.
-- PostgreSQL looks up the rows of a share only through LATERAL; it would evaluate SQLite's subquery for each
-- row of the table. IS TRUE makes the planner find executables by their key instead of a partial index.
SELECT e.id, e.guid, x.guid AS executable_guid, x.name, e.scheduled_time, e.dispatch_time, e.attempts,
       e.failures, e.doubt_until, e.give_up_at, e.task_name, x.app_guid, e.kind, e.share, e.request_id
  FROM json_array_elements_text(CAST(:shares AS JSON)) AS wanted (share)
 CROSS JOIN LATERAL (SELECT p.*
                       FROM executions AS p
                      WHERE p.kind = :kind AND p.share = wanted.share AND p.dispatch_time <= :now
                        AND p.dispatch_time >= :since
                        AND p.id > COALESCE((SELECT s.cancelled_up_to FROM schedules AS s
                                             WHERE s.id = p.schedule_id), 0)
                        AND (p.owner IS NULL OR p.owner = :fence)
                        AND EXISTS (SELECT 1 FROM executables AS d
                                     WHERE d.id = p.executable_id AND (d.deleted_at IS NULL) IS TRUE)
                      ORDER BY p.dispatch_time, p.id
                      LIMIT :each) AS e
 CROSS JOIN executables AS x
 WHERE x.id = e.executable_id;
