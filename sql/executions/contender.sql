-- An execution that wants to begin, or is to be cancelled, by primary key. What is cancelled by a mark on its
-- schedule is no longer PENDING.
SELECT e.id, e.guid, e.kind, e.request_id, e.executable_id, x.guid AS executable_guid, x.name, e.start_time,
       CASE WHEN e.state = 'PENDING' AND e.id <= (SELECT s.cancelled_up_to FROM schedules AS s WHERE s.id = e.schedule_id)
            THEN 'FAILED' ELSE e.state END AS state,
       CASE WHEN e.state = 'PENDING' AND e.id <= (SELECT s.cancelled_up_to FROM schedules AS s WHERE s.id = e.schedule_id)
            THEN 'cancelled' ELSE COALESCE(e.reason, e.cancel_reason) END AS reason,
       x.concurrency_policy, CASE WHEN e.schedule_id IS NULL THEN 1 ELSE 0 END AS is_by_hand
  FROM executions AS e CROSS JOIN executables AS x
 WHERE e.id = :id AND x.id = e.executable_id AND x.deleted_at IS NULL
-- What was read of it stays so until it is decided; its job or call is locked already.
--pg FOR UPDATE OF e
;
