-- Jobs and calls that have not succeeded for too long: those reported already, by streaks_overdue, and those
-- about to be, by streaks_due. :spaces is a JSON array; NULL: all.
SELECT x.guid AS executable_guid, x.kind, x.name, x.app_guid, x.space_guid, k.expected_since,
       x.expect_success_within_seconds
  FROM (SELECT executable_id, expected_since
          FROM streaks
         WHERE expected_since IS NOT NULL AND success_due_at IS NULL
         UNION ALL
        SELECT executable_id, expected_since
          FROM streaks
         WHERE expected_since IS NOT NULL AND success_due_at <= :now) AS k
-- Force this join order, whatever the statistics say.
 CROSS JOIN executables AS x --sqlite
--pg CROSS JOIN LATERAL (SELECT * FROM executables AS e WHERE e.id = k.executable_id OFFSET 0) AS x
 WHERE x.id = k.executable_id AND (x.deleted_at IS NULL) IS TRUE
       AND x.expect_success_within_seconds IS NOT NULL
   AND (CAST(:spaces AS TEXT) IS NULL OR x.space_guid IN (SELECT value FROM json_each(:spaces))) --sqlite
--pg AND (CAST(:spaces AS TEXT) IS NULL
--pg      OR x.space_guid IN (SELECT value FROM json_array_elements_text(CAST(:spaces AS JSON))))
 LIMIT :limit;
