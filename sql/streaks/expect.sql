-- What is expected of a job or call from now on, if that changes. Guarded like the change itself
-- (executables/update), which follows.
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
