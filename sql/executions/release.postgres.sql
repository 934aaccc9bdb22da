-- Executions (a JSON array of ids) that were claimed ahead and are not wanted any more, by primary key: any
-- instance may claim them. IS TRUE keeps the planner from the index of all that the instance owns, and
-- `state || ''` from that of all that is PENDING.
UPDATE executions AS e
   SET owner = NULL
 WHERE e.id = ANY (ARRAY (SELECT CAST(value AS BIGINT) FROM json_array_elements_text(CAST(:ids AS JSON))))
   AND e.state || '' = 'PENDING' AND (e.owner = :fence) IS TRUE;
