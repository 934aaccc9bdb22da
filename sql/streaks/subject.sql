-- A job or call with its streak, by primary key.
SELECT x.guid AS executable_guid, x.kind, x.name, x.app_guid, x.space_guid, x.labels,
       x.expect_success_within_seconds, k.failures, k.failing_since
  FROM executables AS x LEFT JOIN streaks AS k ON k.executable_id = x.id
 WHERE x.id = :executable_id;
