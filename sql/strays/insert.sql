-- The name of a task that may exist although its execution ends. No row: no attempt has an unknown outcome,
-- or the execution is owned under another lease. By primary key: `state || ''` keeps the planner from the
-- partial index of PENDING executions.
INSERT INTO strays (name, task_name, attempts, attempt, doubt_until)
SELECT guid, task_name, attempts, attempt, doubt_until
  FROM executions
 WHERE id = :id AND state || '' = 'PENDING' AND doubt_until IS NOT NULL
--pg AND (CAST(:fence AS BIGINT) IS NULL OR owner = :fence)
-- Locked until the end is recorded.
--pg FOR UPDATE
    ON CONFLICT (name) DO NOTHING;
