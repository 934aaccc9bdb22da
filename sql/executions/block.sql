-- It waits, PENDING, for the end of another one: at the end of time until executions/unblock finds nothing in
-- its way. By primary key: `state || ''` keeps the planner from the partial index of PENDING executions.
UPDATE executions
   SET dispatch_time = 9223372036854775807, message = :message
--pg , owner = NULL
 WHERE id = :id AND state || '' = 'PENDING';
