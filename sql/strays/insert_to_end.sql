-- A task to cancel although its execution has ended.
INSERT INTO strays (name, doubt_until, is_to_end) VALUES (:task_guid, :now, 1) ON CONFLICT DO NOTHING;
