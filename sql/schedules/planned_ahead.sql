-- Schedules that were planned in what is now the future, because the clock was set back since, by
-- schedules_by_planned_at, to which the + holds the planner. One that is due all the same is left to its
-- claim, which plans it again.
SELECT s.id, s.guid, s.executable_id, s.expression, s.dialect, s.timezone, s.starts_at, s.ends_at,
       s.jitter_seconds, s.misfire_policy, s.next_fire_time, x.kind, x.guid AS executable_guid, s.planned_at,
       s.updated_at, s.last_fire_time,
       CASE WHEN x.paused OR (p.is_paused AND COALESCE(p.paused_until > :wall_clock, TRUE)) THEN TRUE
           ELSE FALSE END
           AS is_paused,
       x.resumed_at, p.resumed_at AS space_resumed_at,
       CASE WHEN p.is_paused AND p.paused_until <= :wall_clock THEN p.paused_until END AS pause_ended_at
  FROM (SELECT * FROM schedules WHERE planned_at > :now AND +next_fire_time > :now ORDER BY planned_at
        LIMIT :limit) AS s
 CROSS JOIN executables AS x
  LEFT JOIN space_pauses AS p ON p.space_guid = x.space_guid
 WHERE x.id = s.executable_id;
