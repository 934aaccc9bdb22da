-- Claims running tasks that no instance follows, by executions_unfollowed, in the way of executions/claim.
WITH lease AS (SELECT id FROM instances WHERE id = :fence FOR KEY SHARE),
     free AS (SELECT e.id
                FROM executions AS e
               WHERE e.state = 'RUNNING' AND e.owner IS NULL
               ORDER BY e.id
               LIMIT :limit
                 FOR UPDATE SKIP LOCKED)
UPDATE executions AS e
   SET owner = lease.id
  FROM lease, free
 WHERE e.id = free.id;
