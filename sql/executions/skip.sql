-- The execution never begins: another one is in its way or replaces it. Whoever owns it. By primary key:
-- `state || ''` keeps the planner from the partial index of PENDING executions. No row: it has begun or
-- ended.
UPDATE executions
   SET state = 'SKIPPED', reason = :reason, message = :message, end_time = :now, dispatch_time = NULL,
       skipped_behind = :behind
--pg , owner = NULL
 WHERE id = :id AND state || '' = 'PENDING' AND start_time IS NULL;
