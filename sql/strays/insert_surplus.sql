-- A task that may be surplus, because its execution has another one.
INSERT INTO strays (name, doubt_until, surplus_of) VALUES (:task_guid, :now, :execution_guid)
    ON CONFLICT DO NOTHING;
