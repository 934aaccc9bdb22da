-- A batch of jobs and calls that have not succeeded for too long, by streaks_due. PostgreSQL skips rows that
-- another process has locked.
SELECT k.executable_id, k.failures, k.failing_since, k.expected_since, k.success_due_at,
       x.guid AS executable_guid, x.kind, x.name, x.app_guid, x.space_guid, x.labels,
       x.expect_success_within_seconds
  FROM streaks AS k JOIN executables AS x ON x.id = k.executable_id
 WHERE k.success_due_at <= :now
 ORDER BY k.success_due_at
 LIMIT :limit
--pg FOR NO KEY UPDATE OF k SKIP LOCKED
;
