-- What is expected of a job or call that was just taken in, from now on.
INSERT INTO streaks (executable_id, expected_since, success_due_at)
SELECT id, CAST(:since AS BIGINT), CAST(:due_at AS BIGINT) FROM executables WHERE guid = :guid
    ON CONFLICT (executable_id) DO NOTHING;
