-- Schedules that were planned in what is now the future, so the clock was set back since, by schedules_by_planned_at.
-- One whose fire time has come all the same is claimed, and planned with that.
SELECT id, guid, executable_id, expression, next_fire_time,
       (SELECT x.kind FROM executables AS x WHERE x.id = executable_id),
       (SELECT x.guid FROM executables AS x WHERE x.id = executable_id)
  FROM schedules
 WHERE planned_at > :now AND next_fire_time > :now
 ORDER BY planned_at
 LIMIT :limit;
