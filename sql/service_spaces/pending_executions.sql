-- The number of PENDING executions of a space's schedules that are not cancelled yet, by kind, by
-- executables_by_space and executions_pending, in this order: for a join PostgreSQL would read the PENDING
-- executions of all spaces. Executions started by hand do not count.
SELECT CAST(COALESCE(SUM(CASE w.kind WHEN 'job' THEN w.waiting ELSE 0 END), 0) AS BIGINT) AS jobs,
       CAST(COALESCE(SUM(CASE w.kind WHEN 'call' THEN w.waiting ELSE 0 END), 0) AS BIGINT) AS calls
  FROM (SELECT x.kind,
               (SELECT COUNT(*)
                  FROM executions AS e
                 WHERE e.executable_id = x.id AND e.state = 'PENDING' AND e.schedule_id IS NOT NULL
                   AND e.id > COALESCE((SELECT s.cancelled_up_to FROM schedules AS s
                                        WHERE s.id = e.schedule_id), 0)
               ) AS waiting
          FROM executables AS x
         WHERE x.space_guid = :space_guid AND x.deleted_at IS NULL) AS w;
