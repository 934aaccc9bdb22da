-- Schedules that were planned in what is now the future, so the clock was set back since, by
-- schedules_by_planned_at, to which the + holds the planner. One whose fire time has come all the same is
-- claimed, and planned then.
SELECT id, guid, executable_id, expression, dialect, timezone, starts_at, ends_at, jitter_seconds,
       misfire_policy, next_fire_time,
       (SELECT x.kind FROM executables AS x WHERE x.id = executable_id) AS kind,
       (SELECT x.guid FROM executables AS x WHERE x.id = executable_id) AS executable_guid,
       planned_at, updated_at, last_fire_time,
       (SELECT x.paused FROM executables AS x WHERE x.id = executable_id) AS paused,
       (SELECT x.resumed_at FROM executables AS x WHERE x.id = executable_id) AS resumed_at
  FROM schedules
 WHERE planned_at > :now AND +next_fire_time > :now
 ORDER BY planned_at
 LIMIT :limit;
