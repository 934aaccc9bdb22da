-- Of an execution that ends while it is in doubt whether there is a task. No row: there is no doubt, or it is in another hand.
-- The lock keeps it so until the end is recorded.
INSERT INTO strays (name, doubt_until)
SELECT guid, doubt_until
  FROM executions
 WHERE id = :id AND state = 'PENDING' AND doubt_until IS NOT NULL
   AND (CAST(:fence AS BIGINT) IS NULL OR owner = :fence)
   FOR UPDATE
    ON CONFLICT DO NOTHING;
