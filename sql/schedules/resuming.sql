-- The schedules of spaces whose pause ends after :now and by :until, with their jobs and calls, in the order
-- in which they would fire without it. From the pauses, of which there are few, to the jobs and calls of a
-- space by index; OFFSET 0 keeps PostgreSQL to this order. :spaces is a JSON array; NULL: all.
SELECT s.guid, s.expression, s.dialect, s.timezone, s.starts_at, s.ends_at, s.next_fire_time,
       x.guid AS executable_guid, x.kind, x.name, x.app_guid, x.space_guid, p.paused_until
  FROM space_pauses AS p
 CROSS JOIN executables AS x --sqlite
 CROSS JOIN schedules AS s --sqlite
--pg CROSS JOIN LATERAL (SELECT * FROM executables AS e
--pg                      WHERE e.space_guid = p.space_guid AND e.deleted_at IS NULL OFFSET 0) AS x
--pg CROSS JOIN LATERAL (SELECT * FROM schedules AS c WHERE c.executable_id = x.id OFFSET 0) AS s
 WHERE p.is_paused AND p.paused_until > :now AND p.paused_until <= :until
   AND x.space_guid = p.space_guid AND x.deleted_at IS NULL AND NOT x.paused
   AND s.executable_id = x.id AND s.next_fire_time <= :until
   AND (CAST(:spaces AS TEXT) IS NULL OR p.space_guid IN (SELECT value FROM json_each(:spaces))) --sqlite
--pg AND (CAST(:spaces AS TEXT) IS NULL
--pg      OR p.space_guid IN (SELECT value FROM json_array_elements_text(CAST(:spaces AS JSON))))
 ORDER BY s.next_fire_time, s.id
 LIMIT :limit;
