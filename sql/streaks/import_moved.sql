-- The streak of an imported job or call, after its history. If the execution that counts was purged, the next
-- end counts.
INSERT INTO streaks (executable_id, failures, failing_since, last_execution_id, expected_since,
                     success_due_at)
SELECT x.id, CAST(:failures AS BIGINT), CAST(:failing_since AS BIGINT),
       COALESCE((SELECT e.id
                   FROM executions AS e
                  WHERE e.guid = :last_execution_guid AND e.executable_id = x.id), 0),
       CAST(:expected_since AS BIGINT), CAST(:success_due_at AS BIGINT)
  FROM executables AS x
 WHERE x.guid = :guid
    ON CONFLICT (executable_id) DO UPDATE
   SET failures = excluded.failures, failing_since = excluded.failing_since,
       last_execution_id = excluded.last_execution_id, expected_since = excluded.expected_since,
       success_due_at = excluded.success_due_at;
