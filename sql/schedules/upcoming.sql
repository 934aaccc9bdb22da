-- The schedules that fire next, by schedules_due, with their jobs and calls. Without those whose job, call
-- or space is paused; see resuming. :spaces is a JSON array; NULL: all.
SELECT s.guid, s.expression, s.dialect, s.timezone, s.starts_at, s.ends_at, s.next_fire_time,
       x.guid AS executable_guid, x.kind, x.name, x.app_guid, x.space_guid,
       CAST(NULL AS BIGINT) AS paused_until
  FROM schedules AS s CROSS JOIN executables AS x LEFT JOIN space_pauses AS p ON p.space_guid = x.space_guid
 WHERE s.next_fire_time <= :until AND x.id = s.executable_id AND (x.deleted_at IS NULL) IS TRUE
       AND NOT x.paused
   AND (p.is_paused IS NULL OR NOT p.is_paused OR p.paused_until <= :now)
   AND (CAST(:spaces AS TEXT) IS NULL OR x.space_guid IN (SELECT value FROM json_each(:spaces))) --sqlite
--pg AND (CAST(:spaces AS TEXT) IS NULL
--pg      OR x.space_guid IN (SELECT value FROM json_array_elements_text(CAST(:spaces AS JSON))))
 ORDER BY s.next_fire_time, s.id
 LIMIT :limit;
