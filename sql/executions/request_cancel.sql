-- A running execution is to end, by primary key, under any owner. A cancel by a person takes the place of
-- another reason, so that no attempt follows. :task_guid: only while this is its task. No row: it is not
-- running, or is to end for this reason already.
UPDATE executions
   SET cancel_requested_at = COALESCE(cancel_requested_at, :now), cancel_reason = :reason,
       cancel_message = :message
 WHERE id = :id AND state || '' = 'RUNNING' AND (CAST(:task_guid AS TEXT) IS NULL OR task_guid = :task_guid)
   AND (cancel_requested_at IS NULL OR (:reason = 'cancelled' AND cancel_reason <> 'cancelled'));
