-- The call is about to be sent. No row: the execution was cancelled, is gone, or an overlap policy must first
-- decide whether it may begin.
UPDATE executions
   SET state = 'RUNNING', start_time = COALESCE(start_time, :now), attempt_start_time = :now, attempts = 1,
       message = '', dispatch_time = NULL
 WHERE id = :id AND state = 'PENDING'
   AND id > COALESCE((SELECT s.cancelled_up_to FROM schedules AS s WHERE s.id = schedule_id), 0)
   AND EXISTS (SELECT 1
                 FROM executables AS x
                WHERE x.id = executable_id AND x.deleted_at IS NULL
                  AND (CAST(:is_admitted AS BIGINT) = 1 OR x.concurrency_policy = 'Always'));
