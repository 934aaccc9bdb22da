-- Executions that block another one (:id) of the same job or call, oldest first: running ones, by
-- executions_under_way, and PENDING ones, by executions_pending, that have begun or were created earlier and
-- are not cancelled by a mark.
SELECT e.id, e.guid, e.kind, e.state, e.start_time, e.request_id, x.guid AS executable_guid, x.name,
       CASE WHEN e.schedule_id IS NULL THEN 1 ELSE 0 END AS is_by_hand
  FROM (SELECT r.id FROM executions AS r WHERE r.executable_id = :executable_id AND r.state = 'RUNNING'
         UNION ALL
        SELECT p.id
          FROM executions AS p
         WHERE p.executable_id = :executable_id AND p.state = 'PENDING'
               AND (p.start_time IS NOT NULL OR p.id < :id)
           AND p.id > COALESCE((SELECT s.cancelled_up_to FROM schedules AS s WHERE s.id = p.schedule_id),
                               0)) AS ahead
 CROSS JOIN executions AS e CROSS JOIN executables AS x
 WHERE e.id = ahead.id AND e.id <> :id AND x.id = e.executable_id
 ORDER BY e.id
 LIMIT :limit;
