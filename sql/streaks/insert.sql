-- When the next success of a new job or call is expected.
INSERT INTO streaks (executable_id, expected_since, success_due_at)
VALUES (:executable_id, :since, :due_at)
    ON CONFLICT (executable_id) DO UPDATE
   SET expected_since = excluded.expected_since, success_due_at = excluded.success_due_at;
