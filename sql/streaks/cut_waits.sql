-- The clock was set back: a success in what is now the future counts as one of now, by streaks_due.
UPDATE streaks
   SET expected_since = CAST(:now AS BIGINT),
       success_due_at = (SELECT CAST(:now AS BIGINT) + 1000000000 * x.expect_success_within_seconds
                           FROM executables AS x WHERE x.id = executable_id)
 WHERE success_due_at > :now AND expected_since > :now;
