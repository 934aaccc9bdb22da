-- All waiting deliveries, due or not, for an Alertmanager, which receives them in one request.
SELECT d.id, d.guid, d.executable_id, d.event, d.data, d.state, d.created_at, d.due_at, d.attempts,
       d.is_cut_off,
       d.last_status, d.last_error, d.ended_at
  FROM deliveries AS d
 WHERE d.notification_id = :notification_id AND d.due_at IS NOT NULL AND d.state = 'WAITING'
 ORDER BY d.id
 LIMIT :limit;
