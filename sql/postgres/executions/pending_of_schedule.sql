-- What a schedule has waiting, by executions_pending. The lock keeps it waiting until it is cancelled.
SELECT id, guid, kind, request_id
  FROM executions
 WHERE executable_id = :executable_id AND schedule_id = :schedule_id AND state = 'PENDING'
   FOR UPDATE;
