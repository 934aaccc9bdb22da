-- How many executions of a space's schedules are PENDING and not cancelled yet, of each kind, by
-- executables_by_space and executions_pending. Those started by hand are left out.
SELECT COALESCE(SUM(CASE e.kind WHEN 'job' THEN 1 ELSE 0 END), 0) AS jobs,
       COALESCE(SUM(CASE e.kind WHEN 'call' THEN 1 ELSE 0 END), 0) AS calls
  FROM executables AS x CROSS JOIN executions AS e
 WHERE e.executable_id = x.id AND e.state = 'PENDING' AND e.schedule_id IS NOT NULL
   AND e.id > COALESCE((SELECT s.cancelled_up_to FROM schedules AS s WHERE s.id = e.schedule_id), 0)
   AND x.space_guid = :space_guid AND x.deleted_at IS NULL;
