-- Takes executions (a JSON array of triples: id, dispatch time, attempts) in hand, those that nobody else has, and that are as they
-- were read: another may have had one in hand meanwhile, and have made an attempt. The lock on the lease keeps it from being taken over
-- meanwhile; a lease that has been taken over claims nothing.
WITH lease AS (SELECT id FROM instances WHERE id = :fence FOR KEY SHARE),
     wanted AS (SELECT CAST(value ->> 0 AS BIGINT) AS id, CAST(value ->> 1 AS BIGINT) AS dispatch_time,
                       CAST(value ->> 2 AS BIGINT) AS attempts
                  FROM json_array_elements(CAST(:wanted AS JSON))),
     free AS (SELECT e.id
                FROM executions AS e JOIN wanted AS w ON w.id = e.id
               WHERE w.dispatch_time = e.dispatch_time AND w.attempts = e.attempts AND e.state = 'PENDING' AND (e.owner IS NULL OR e.owner = :fence)
               ORDER BY e.id
                 FOR UPDATE OF e SKIP LOCKED)
UPDATE executions AS e
   SET owner = lease.id
  FROM lease, free
 WHERE e.id = free.id
RETURNING e.id;
