-- By primary key, recorded before the request for the task is sent, so that after a crash the outcome counts
-- as unknown. No row: the execution was cancelled, is gone, or a policy has to say first whether it may
-- begin. `state || ''` keeps the planner from the partial index of PENDING executions.
UPDATE executions
-- The name of the first request's task stays: those of the others follow from it.
   SET task_name = CASE WHEN attempts = 0 THEN :task_name ELSE task_name END,
       attempts = attempts + 1, start_time = COALESCE(start_time, :now), attempt_start_time = :now,
       app_guid = :app_guid, doubt_until = :doubt_until
 WHERE id = :id AND state || '' = 'PENDING'
   AND id > COALESCE((SELECT s.cancelled_up_to FROM schedules AS s WHERE s.id = schedule_id), 0)
   AND EXISTS (SELECT 1
                 FROM executables AS x
                WHERE x.id = executable_id AND x.deleted_at IS NULL
                  AND (CAST(:is_admitted AS BIGINT) = 1 OR x.concurrency_policy = 'Always'));
