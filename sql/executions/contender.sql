-- An execution that is to begin or to be cancelled, by primary key. If a mark on its schedule cancels it, it
-- is no longer PENDING.
SELECT e.id, e.guid, e.kind, e.request_id, e.executable_id, x.guid AS executable_guid, x.name, e.start_time,
       CASE WHEN e.state = 'PENDING'
           AND e.id <= (SELECT s.cancelled_up_to FROM schedules AS s WHERE s.id = e.schedule_id)
            THEN 'FAILED' ELSE e.state END AS state,
       CASE WHEN e.state = 'PENDING'
           AND e.id <= (SELECT s.cancelled_up_to FROM schedules AS s WHERE s.id = e.schedule_id)
            THEN 'cancelled' ELSE COALESCE(e.reason, e.cancel_reason) END AS reason,
       x.concurrency_policy, CASE WHEN e.schedule_id IS NULL THEN 1 ELSE 0 END AS is_by_hand
  FROM executions AS e CROSS JOIN executables AS x
 WHERE e.id = :id AND x.id = e.executable_id AND x.deleted_at IS NULL
-- Locked until the decision is recorded; its job or call is locked already.
--pg FOR UPDATE OF e
;
