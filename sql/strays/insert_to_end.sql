-- A task that is to end though its execution has.
INSERT INTO strays (name, doubt_until, is_to_end) VALUES (:task_guid, :now, 1) ON CONFLICT DO NOTHING;
