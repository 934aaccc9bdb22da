-- The tasks of a job's running executions, which must be cancelled although the executions are deleted.
INSERT INTO strays (name, doubt_until, is_to_end)
SELECT task_guid, :now, 1
  FROM executions
 WHERE executable_id = :executable_id AND state = 'RUNNING' AND task_guid IS NOT NULL
    ON CONFLICT DO NOTHING;
