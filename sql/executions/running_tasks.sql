-- A batch of executions with running tasks, by key, by executions_running; on PostgreSQL those under one
-- lease, by executions_by_owner.
SELECT e.id, e.guid, e.task_guid, x.guid AS executable_guid, x.name, e.scheduled_time, e.jitter_seconds,
       e.start_time, e.request_id, e.failures, e.give_up_at, e.attempt, e.attempt_start_time,
       e.cancel_requested_at, e.cancel_reason, e.cancel_message, e.cancel_accepted_at, x.timeout_seconds,
       x.concurrency_policy, x.max_retries, x.backoff_seconds, x.max_backoff_seconds, x.max_age_seconds
  FROM executions AS e CROSS JOIN executables AS x
 WHERE e.state = 'RUNNING' AND e.task_guid IS NOT NULL AND e.id > :after_id AND x.id = e.executable_id
--pg AND e.owner = :fence
 ORDER BY e.id
 LIMIT :limit;
