-- The tasks of running executions of a job, which are to end though their executions are deleted.
INSERT INTO strays (name, doubt_until, is_to_end)
SELECT task_guid, :now, 1
  FROM executions
 WHERE executable_id = :executable_id AND state = 'RUNNING' AND task_guid IS NOT NULL
    ON CONFLICT DO NOTHING;
