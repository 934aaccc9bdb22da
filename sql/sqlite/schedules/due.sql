-- The schedules whose fire time has come, the earliest first, by schedules_due.
SELECT id, guid, executable_id, expression, next_fire_time,
       (SELECT x.kind FROM executables AS x WHERE x.id = executable_id),
       (SELECT x.guid FROM executables AS x WHERE x.id = executable_id)
  FROM schedules
 WHERE next_fire_time <= :now
 ORDER BY next_fire_time, id
 LIMIT :limit;
