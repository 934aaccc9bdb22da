-- What a schedule has waiting, by executions_pending, except where a task may exist already: that is found out, not
-- declared.
SELECT id
  FROM executions
 WHERE executable_id = :executable_id AND schedule_id = :schedule_id AND state = 'PENDING' AND unknown_since IS NULL;
