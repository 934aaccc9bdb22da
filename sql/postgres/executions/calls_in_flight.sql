-- Calls that are under way in one hand, by executions_by_owner.
SELECT id, guid, kind, request_id
  FROM executions
 WHERE owner = :fence AND state = 'RUNNING' AND kind = 'call' ORDER BY id;
