-- A task that another database has still to look for.
INSERT INTO strays (name, doubt_until, surplus_of) VALUES (:name, :doubt_until, :surplus_of) ON CONFLICT (name) DO NOTHING;
