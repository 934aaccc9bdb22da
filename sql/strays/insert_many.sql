-- The names of tasks that may exist although their executions (a JSON array of ids) are cancelled, by primary
-- key.
INSERT INTO strays (name, task_name, attempts, attempt, doubt_until)
SELECT guid, task_name, attempts, attempt, doubt_until
  FROM executions
 WHERE id IN (SELECT value FROM json_each(:ids)) --sqlite
--pg WHERE id = ANY (ARRAY (SELECT CAST(value AS BIGINT) FROM json_array_elements_text(CAST(:ids AS JSON))))
   AND doubt_until IS NOT NULL
    ON CONFLICT DO NOTHING;
