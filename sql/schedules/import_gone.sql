-- A deleted schedule for each schedule that executions of another database (a JSON array) name and that is
-- missing here. So those executions keep its guid and their fire times.
INSERT INTO schedules (guid, executable_id, enabled, expression, planned_at, created_at, updated_at,
                       deleted_at)
SELECT r.value ->> 'schedule_guid', MIN(x.id), 0, '', :now, MIN(r.value ->> 'created_at'),
       MIN(r.value ->> 'created_at'), :now
  FROM json_each(:rows) AS r
 CROSS JOIN executables AS x ON x.guid = r.value ->> 'executable_guid'
 WHERE r.value ->> 'schedule_guid' IS NOT NULL AND x.kind = r.value ->> 'kind' AND x.deleted_at IS NULL
   AND NOT EXISTS (SELECT 1 FROM schedules AS s WHERE s.guid = r.value ->> 'schedule_guid')
   AND NOT EXISTS (SELECT 1 FROM executions AS e WHERE e.guid = r.value ->> 'guid')
 GROUP BY 1;
