-- Spaces that have a job, a call or a pause.
SELECT space_guid FROM space_sizes GROUP BY space_guid HAVING SUM(size) > 0
 UNION
SELECT space_guid FROM space_pauses
 ORDER BY space_guid;
