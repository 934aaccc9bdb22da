-- The name of a task that another database has still to look for.
INSERT INTO strays (name, doubt_until) VALUES (:name, :doubt_until) ON CONFLICT (name) DO NOTHING;
