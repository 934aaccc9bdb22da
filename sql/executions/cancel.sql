-- Records the cancellation of executions (a JSON array of ids) of any owner. :requested_at is NULL unless a
-- client requested the cancellation of these executions. By primary key: `state || ''` keeps the planner from
-- the index of PENDING executions.
UPDATE executions
   SET state = 'FAILED', reason = :reason, message = :message, end_time = :end_time, dispatch_time = NULL,
       doubt_until = NULL, cancel_requested_at = COALESCE(cancel_requested_at, CAST(:requested_at AS BIGINT))
--pg , owner = NULL
 WHERE id IN (SELECT value FROM json_each(:ids)) --sqlite
--pg WHERE id = ANY (ARRAY (SELECT CAST(value AS BIGINT) FROM json_array_elements_text(CAST(:ids AS JSON))))
   AND state || '' = 'PENDING';
