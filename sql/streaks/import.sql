-- When the next success of an imported job or call is expected.
INSERT INTO streaks (executable_id, expected_since, success_due_at)
SELECT id, CAST(:since AS BIGINT), CAST(:due_at AS BIGINT) FROM executables WHERE guid = :guid
    ON CONFLICT (executable_id) DO NOTHING;
