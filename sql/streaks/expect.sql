-- Changes when the next success of a job or call is expected. Runs before the update of the job or call, and
-- has the same guard (executables/update).
INSERT INTO streaks (executable_id, expected_since, success_due_at)
SELECT id, CAST(:since AS BIGINT), CAST(:due_at AS BIGINT)
  FROM (SELECT id
          FROM executables
         WHERE id = :id AND updated_at = :seen_updated_at AND deleted_at IS NULL
           AND COALESCE(expect_success_within_seconds, 0) <> :seconds
--pg    FOR NO KEY UPDATE
       ) AS changed
 WHERE TRUE
    ON CONFLICT (executable_id) DO UPDATE
   SET expected_since = excluded.expected_since, success_due_at = excluded.success_due_at;
