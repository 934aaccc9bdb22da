-- Keeps the execution PENDING until another one has ended: its dispatch time is the end of time until
-- executions/unblock finds that nothing blocks it. By primary key: `state || ''` keeps the planner from the
-- partial index of PENDING executions.
UPDATE executions
   SET dispatch_time = 9223372036854775807, message = :message
--pg , owner = NULL
 WHERE id = :id AND state || '' = 'PENDING';
