-- By primary key; the row is locked already.
UPDATE streaks
   SET failures = :failures, failing_since = :failing_since, last_execution_id = :last_execution_id,
       expected_since = :expected_since, success_due_at = :success_due_at
 WHERE executable_id = :executable_id;
