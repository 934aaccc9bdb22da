-- Recorded before the task is requested, so that after a crash the outcome counts as unknown. No row: the
-- execution was cancelled, is gone, or an overlap policy must first decide whether it may begin. By primary
-- key: `state || ''` keeps the planner from the partial index of PENDING executions.
UPDATE executions
-- Keep the name of the first attempt's task: the later names are derived from it.
   SET task_name = CASE WHEN attempts = 0 THEN :task_name ELSE task_name END,
       attempts = attempts + 1, start_time = COALESCE(start_time, :now), attempt_start_time = :now,
       app_guid = :app_guid, doubt_until = :doubt_until
 WHERE id = :id AND state || '' = 'PENDING'
   AND id > COALESCE((SELECT s.cancelled_up_to FROM schedules AS s WHERE s.id = schedule_id), 0)
   AND EXISTS (SELECT 1
                 FROM executables AS x
                WHERE x.id = executable_id AND x.deleted_at IS NULL
                  AND (CAST(:is_admitted AS BIGINT) = 1 OR x.concurrency_policy = 'Always'));
