-- A task that another database was still looking for.
INSERT INTO strays (name, task_name, attempts, attempt, doubt_until, surplus_of, is_to_end)
VALUES (:name, :task_name, :attempts, :attempt, :doubt_until, :surplus_of, :is_to_end)
    ON CONFLICT (name) DO NOTHING;
