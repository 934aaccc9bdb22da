-- How many executions were created after :since, by state, in these spaces (a JSON array; NULL: all). Each count
-- examines the newest :limit of its state, by partial indexes; that of SUCCEEDED the newest :most of all states.
-- Which of many PENDING or RUNNING ones are examined is not specified.
SELECT c.state, COUNT(*) AS looked_at, MIN(e.created_at) AS oldest,
       COUNT(CASE WHEN e.state = c.state AND e.created_at > :since AND x.deleted_at IS NULL
                   AND (CAST(:spaces AS TEXT) IS NULL --sqlite
                        OR x.space_guid IN (SELECT value FROM json_each(:spaces))) --sqlite
--pg                AND (CAST(:spaces AS TEXT) IS NULL
--pg                     OR x.space_guid IN (SELECT value FROM json_array_elements_text(CAST(:spaces AS JSON))))
                  THEN 1 END) AS total
  FROM (SELECT 'SUCCEEDED' AS state, id
          FROM (SELECT id FROM executions ORDER BY id DESC LIMIT :most) AS newest
         UNION ALL
        SELECT 'FAILED', id
          FROM (SELECT id FROM executions WHERE state = 'FAILED' AND state IN ('FAILED', 'SKIPPED')
                 ORDER BY id DESC LIMIT :limit) AS failed
         UNION ALL
        SELECT 'SKIPPED', id
          FROM (SELECT id FROM executions WHERE state = 'SKIPPED' AND state IN ('FAILED', 'SKIPPED')
                 ORDER BY id DESC LIMIT :limit) AS skipped
         UNION ALL
        SELECT 'RUNNING', id FROM (SELECT id FROM executions WHERE state = 'RUNNING' LIMIT :limit) AS running
         UNION ALL
        SELECT 'PENDING', id FROM (SELECT id FROM executions WHERE state = 'PENDING' LIMIT :limit) AS pending
       ) AS c
 CROSS JOIN executions AS e --sqlite
 CROSS JOIN executables AS x --sqlite
 WHERE e.id = c.id AND x.id = e.executable_id --sqlite
-- OFFSET 0 keeps the planner to joins by primary key.
--pg CROSS JOIN LATERAL (SELECT * FROM executions WHERE id = c.id OFFSET 0) AS e
--pg CROSS JOIN LATERAL (SELECT * FROM executables WHERE id = e.executable_id OFFSET 0) AS x
 GROUP BY c.state;
