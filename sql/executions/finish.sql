-- Ends an execution, once. One that was being cancelled gets the reason for that, unless it succeeded. No
-- row, which is normal: it had ended before, is cancelled by a mark, or is gone.
UPDATE executions
   SET state = :state,
       reason = CASE WHEN :state = 'FAILED' THEN COALESCE(cancel_reason, CAST(:reason AS TEXT)) END,
       message = CASE WHEN cancel_requested_at IS NULL THEN CAST(:message AS TEXT)
-- A message that starts with the reason and adds to it stays.
                      WHEN :state = 'FAILED' AND substr(:message, 1, length(cancel_message)) = cancel_message
                          THEN :message
                      WHEN :state = 'FAILED' THEN cancel_message
                      WHEN :message = '' THEN 'the cancel came too late'
                      ELSE :message || '; the cancel came too late' END,
       dispatch_time = NULL, doubt_until = NULL,
-- Cloud Foundry reports whole seconds, and a clock may be set back: no end may precede its start.
       end_time = MAX(:end_time, COALESCE(start_time, :end_time))
 WHERE id = :id AND state IN ('PENDING', 'RUNNING')
   AND (state = 'RUNNING' OR id > COALESCE((SELECT s.cancelled_up_to FROM schedules AS s
                                            WHERE s.id = schedule_id), 0));
