-- A batch by key, for another database.
SELECT k.executable_id AS id, x.guid AS executable_guid, k.failures, k.failing_since,
       e.guid AS last_execution_guid, k.expected_since, k.success_due_at
  FROM streaks AS k
  JOIN executables AS x ON x.id = k.executable_id
  LEFT JOIN executions AS e ON e.id = k.last_execution_id
 WHERE k.executable_id > :after_id AND x.deleted_at IS NULL
 ORDER BY k.executable_id
 LIMIT :limit;
