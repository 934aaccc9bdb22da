-- The number of jobs or calls whose labels match :selector, and the last id; see select.sql.
SELECT COUNT(*) AS total, COALESCE(MAX(x.id), 0) AS last_id
  FROM executables AS x
 WHERE x.kind = :kind AND x.deleted_at IS NULL
   AND (CAST(:space_guids AS TEXT) IS NULL --sqlite
        OR x.space_guid IN (SELECT value FROM json_each(:space_guids))) --sqlite
--pg AND (CAST(:space_guids AS TEXT) IS NULL
--pg      OR x.space_guid IN (SELECT value FROM json_array_elements_text(CAST(:space_guids AS JSON))))
   AND (CAST(:selector AS TEXT) IS NULL --sqlite
        OR CASE WHEN x.labels IS NULL THEN :takes_unlabelled --sqlite
           ELSE labels_match(x.labels, :selector) END) --sqlite
--pg AND (CAST(:selector AS TEXT) IS NULL
--pg      OR CASE WHEN x.labels IS NULL THEN CAST(:takes_unlabelled AS BIGINT) = 1 ELSE
--pg          x.labels LIKE ALL (ARRAY(SELECT '%' || replace(needle, '_', '\_') || '%'
--pg                                     FROM json_array_elements_text(CAST(:selector AS JSON)
--pg                                                                    -> 'present') AS p(needle)))
--pg      AND x.labels NOT LIKE ALL (ARRAY(SELECT '%' || replace(needle, '_', '\_') || '%'
--pg                                         FROM json_array_elements_text(CAST(:selector AS JSON)
--pg                                                                        -> 'absent') AS a(needle)))
--pg      AND NOT EXISTS (SELECT 1
--pg                      FROM json_array_elements(CAST(:selector AS JSON) -> 'choices') AS c(needles)
--pg                       WHERE NOT EXISTS (SELECT 1 FROM json_array_elements_text(c.needles) AS n(needle)
--pg                                          WHERE position(n.needle IN x.labels) > 0)) END);
