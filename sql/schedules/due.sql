-- Schedules whose fire time has come, the earliest first, by schedules_due. PostgreSQL skips those that another process claims.
SELECT id, guid, executable_id, expression, next_fire_time,
       (SELECT x.kind FROM executables AS x WHERE x.id = executable_id) AS kind,
       (SELECT x.guid FROM executables AS x WHERE x.id = executable_id) AS executable_guid
  FROM schedules
 WHERE next_fire_time <= :now
 ORDER BY next_fire_time, id
 LIMIT :limit
--pg FOR UPDATE SKIP LOCKED
;
