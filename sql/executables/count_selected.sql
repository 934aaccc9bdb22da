-- How many there are whose labels are as :selector says, and the last of them; see select.sql.
SELECT COUNT(*) AS total, COALESCE(MAX(x.id), 0) AS last_id
  FROM executables AS x
 WHERE x.kind = :kind AND x.deleted_at IS NULL
   AND (CAST(:space_guids AS TEXT) IS NULL OR x.space_guid IN (SELECT value FROM json_each(:space_guids))) --sqlite
--pg AND (CAST(:space_guids AS TEXT) IS NULL OR x.space_guid IN (SELECT value FROM json_array_elements_text(CAST(:space_guids AS JSON))))
   AND (CAST(:selector AS TEXT) IS NULL OR CASE WHEN x.labels IS NULL THEN :takes_unlabelled ELSE NOT EXISTS (SELECT 1 FROM json_each(:selector) AS r --sqlite
         WHERE CASE r.value ->> 'op' WHEN 'has' THEN json_extract(x.labels, r.value ->> 'path') IS NULL --sqlite
                    WHEN 'lacks' THEN json_extract(x.labels, r.value ->> 'path') IS NOT NULL --sqlite
                    WHEN 'in' THEN COALESCE(json_extract(x.labels, r.value ->> 'path') NOT IN (SELECT v.value FROM json_each(r.value -> 'values') AS v), 1) --sqlite
                    ELSE COALESCE(json_extract(x.labels, r.value ->> 'path') IN (SELECT v.value FROM json_each(r.value -> 'values') AS v), 0) END) END) --sqlite
--pg AND (CAST(:selector AS TEXT) IS NULL OR CASE WHEN x.labels IS NULL THEN CAST(:takes_unlabelled AS BIGINT) = 1 ELSE NOT EXISTS (SELECT 1 FROM json_array_elements(CAST(:selector AS JSON)) AS r(value)
--pg      WHERE CASE r.value ->> 'op' WHEN 'has' THEN CAST(x.labels AS JSON) ->> (r.value ->> 'key') IS NULL
--pg                 WHEN 'lacks' THEN CAST(x.labels AS JSON) ->> (r.value ->> 'key') IS NOT NULL
--pg                 WHEN 'in' THEN COALESCE(CAST(x.labels AS JSON) ->> (r.value ->> 'key') NOT IN (SELECT v.value FROM json_array_elements_text(r.value -> 'values') AS v(value)), TRUE)
--pg                 ELSE COALESCE(CAST(x.labels AS JSON) ->> (r.value ->> 'key') IN (SELECT v.value FROM json_array_elements_text(r.value -> 'values') AS v(value)), FALSE) END) END);
