-- The execution never begins, because another one blocks or replaces it, whichever instance owns it. By
-- primary key: `state || ''` keeps the planner from the partial index of PENDING executions. No row: it has
-- begun or ended.
UPDATE executions
   SET state = 'SKIPPED', reason = :reason, message = :message, end_time = :now, dispatch_time = NULL,
       skipped_behind = :behind
--pg , owner = NULL
 WHERE id = :id AND state || '' = 'PENDING' AND start_time IS NULL;
