-- A task that an execution may have no use for, as another is its own.
INSERT INTO strays (name, doubt_until, surplus_of) VALUES (:task_guid, :now, :execution_guid) ON CONFLICT DO NOTHING;
