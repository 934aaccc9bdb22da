-- The streaks of these (a JSON array of ids), by primary key, locked in order.
SELECT executable_id, failures, failing_since, last_execution_id, expected_since, success_due_at
  FROM streaks
 WHERE executable_id IN (SELECT value FROM json_each(:ids)) --sqlite
--pg WHERE executable_id = ANY (ARRAY (SELECT CAST(value AS BIGINT)
--pg                                     FROM json_array_elements_text(CAST(:ids AS JSON))))
 ORDER BY executable_id
--pg FOR NO KEY UPDATE
;
