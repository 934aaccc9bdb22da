-- A batch of enabled schedules with their jobs and calls, in order of ids. Without those whose job or call is
-- paused, or whose space is paused without an end.
SELECT s.id, s.guid, s.expression, s.dialect, s.timezone, s.starts_at, s.ends_at, s.next_fire_time,
       x.guid AS executable_guid, x.kind, x.name, x.app_guid, x.space_guid,
       CASE WHEN p.is_paused THEN p.paused_until END AS paused_until
  FROM schedules AS s
 CROSS JOIN executables AS x --sqlite
--pg CROSS JOIN LATERAL (SELECT * FROM executables AS e WHERE e.id = s.executable_id OFFSET 0) AS x
  LEFT JOIN space_pauses AS p ON p.space_guid = x.space_guid
 WHERE s.id > :after_id AND s.next_fire_time IS NOT NULL AND x.id = s.executable_id
   AND (x.deleted_at IS NULL) IS TRUE AND NOT x.paused
   AND (p.is_paused IS NULL OR NOT p.is_paused OR p.paused_until IS NOT NULL)
 ORDER BY s.id
 LIMIT :limit;
