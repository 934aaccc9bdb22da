-- The newest activity in the database, each kind by an index: an end, a creation, or a planned schedule.
SELECT MAX(newest) AS newest
  FROM (SELECT MAX(end_time) AS newest FROM executions WHERE end_time IS NOT NULL
         UNION ALL
        SELECT created_at FROM executions WHERE id = (SELECT MAX(id) FROM executions)
         UNION ALL
        SELECT created_at FROM executables WHERE id = (SELECT MAX(id) FROM executables)
         UNION ALL
        SELECT updated_at FROM schedules WHERE id = (SELECT MAX(id) FROM schedules)
         UNION ALL
        SELECT MAX(planned_at) FROM schedules WHERE next_fire_time IS NOT NULL) AS signs;
