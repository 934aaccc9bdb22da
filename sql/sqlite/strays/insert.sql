-- Of an execution that ends while it is in doubt whether there is a task. No row: there is no doubt.
INSERT INTO strays (name, doubt_until)
SELECT guid, doubt_until FROM executions WHERE id = :id AND state = 'PENDING' AND doubt_until IS NOT NULL
    ON CONFLICT DO NOTHING;
