-- Cancels the PENDING executions of a space's schedules, at once for every reader. Their rows are changed
-- later, in batches. By executables_by_space, schedules_by_executable and executions_pending, in this order:
-- PostgreSQL would turn EXISTS into a join that starts with the PENDING executions of all spaces.
UPDATE schedules
   SET cancelled_up_to = (SELECT MAX(e.id) FROM executions AS e), cancelled_at = :now, cancel_reason = :reason
 WHERE executable_id IN (SELECT id FROM executables WHERE space_guid = :space_guid AND deleted_at IS NULL)
   AND (SELECT MIN(p.id)
          FROM executions AS p
         WHERE p.executable_id = schedules.executable_id AND p.schedule_id = schedules.id
               AND p.state = 'PENDING'
       ) IS NOT NULL;
