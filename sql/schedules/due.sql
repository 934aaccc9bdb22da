-- Due schedules, earliest first, by schedules_due. PostgreSQL skips schedules that another process claims,
-- and those whose executable is being deleted: a claim waits for neither, so it cannot deadlock. There only
-- those of a portion (every :portions-th id), and those due before :late.
SELECT s.id, s.guid, s.executable_id, s.expression, s.dialect, s.timezone, s.starts_at, s.ends_at,
       s.jitter_seconds, s.misfire_policy, s.next_fire_time, x.kind, x.guid AS executable_guid,
       s.planned_at, s.updated_at, s.last_fire_time,
       CASE WHEN x.paused OR (p.is_paused AND COALESCE(p.paused_until > :now, TRUE)) THEN TRUE
           ELSE FALSE END AS is_paused,
       x.resumed_at, p.resumed_at AS space_resumed_at,
       CASE WHEN p.is_paused AND p.paused_until <= :now THEN p.paused_until END AS pause_ended_at
  FROM schedules AS s CROSS JOIN executables AS x LEFT JOIN space_pauses AS p ON p.space_guid = x.space_guid
 WHERE s.next_fire_time <= :now AND x.id = s.executable_id
--pg AND (s.id % :portions = :portion OR s.next_fire_time < :late)
 ORDER BY s.next_fire_time, s.id
 LIMIT :limit
--pg FOR UPDATE OF s SKIP LOCKED
--pg FOR KEY SHARE OF x SKIP LOCKED
;
