-- Takes executions (a JSON array) in hand, those that nobody else has. The lock on the lease keeps it from being taken over
-- meanwhile; a lease that has been taken over claims nothing.
WITH lease AS (SELECT id FROM instances WHERE id = :fence FOR KEY SHARE),
     free AS (SELECT e.id
                FROM executions AS e
               WHERE e.id IN (SELECT CAST(value AS BIGINT) FROM json_array_elements_text(CAST(:ids AS JSON)))
                 AND e.state = 'PENDING' AND (e.owner IS NULL OR e.owner = :fence)
               ORDER BY e.id
                 FOR UPDATE SKIP LOCKED)
UPDATE executions AS e
   SET owner = lease.id
  FROM lease, free
 WHERE e.id = free.id
RETURNING e.id;
