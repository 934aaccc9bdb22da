-- What an executable has waiting, by executions_pending.
SELECT id, guid, kind, request_id
  FROM executions
 WHERE executable_id = :executable_id AND state = 'PENDING';
