-- Requests the cancellation of a running execution, whichever instance owns it, by primary key. A
-- cancellation by a user replaces another reason, so that no retry follows. :task_guid limits it to an
-- execution that still has this task. No row: it is not running, or is already being cancelled for this
-- reason.
UPDATE executions
   SET cancel_requested_at = COALESCE(cancel_requested_at, :now), cancel_reason = :reason,
       cancel_message = :message
 WHERE id = :id AND state || '' = 'RUNNING' AND (CAST(:task_guid AS TEXT) IS NULL OR task_guid = :task_guid)
   AND (cancel_requested_at IS NULL OR (:reason = 'cancelled' AND cancel_reason <> 'cancelled'));
