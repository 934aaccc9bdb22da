-- A task that another database has still to look for.
INSERT INTO strays (name, task_name, attempts, doubt_until, surplus_of)
VALUES (:name, :task_name, :attempts, :doubt_until, :surplus_of) ON CONFLICT (name) DO NOTHING;
