-- Claims executions (a JSON array of triples: id, dispatch time, attempts) under a lease and returns what
-- they are to do, like executions/work. Only those are claimed that nobody owns and that still are as they
-- were read: another instance may have made an attempt since. The lock on the lease keeps it from being taken
-- over meanwhile; a lease that was taken over claims nothing.
--
-- By primary key: the conditions stand outside of `held`, because inside it the planner may walk the partial
-- index of PENDING executions.
WITH lease AS (SELECT id FROM instances WHERE id = :fence FOR KEY SHARE),
     wanted AS MATERIALIZED (SELECT CAST(value ->> 0 AS BIGINT) AS id,
                             CAST(value ->> 1 AS BIGINT) AS dispatch_time,
                                    CAST(value ->> 2 AS BIGINT) AS attempts
                               FROM json_array_elements(CAST(:wanted AS JSON))),
     held AS MATERIALIZED (SELECT id, dispatch_time, attempts, state, owner
                             FROM executions
                            WHERE id = ANY (ARRAY (SELECT id FROM wanted))
                            ORDER BY id
                              FOR UPDATE SKIP LOCKED),
     free AS MATERIALIZED (SELECT held.id
                             FROM held JOIN wanted USING (id, dispatch_time, attempts)
                            WHERE held.state = 'PENDING' AND (held.owner IS NULL OR held.owner = :fence))
UPDATE executions AS e
   SET owner = lease.id
  FROM lease, free, executables AS x
 WHERE e.id = free.id AND x.id = e.executable_id AND (x.deleted_at IS NULL) IS TRUE
RETURNING e.id, e.attempt, e.start_time, x.concurrency_policy, x.max_retries, x.backoff_seconds,
          x.max_backoff_seconds, x.max_age_seconds, x.kind, x.command, x.disk_in_mb, x.memory_in_mb, x.state,
          x.url, x.auth_header,
          x.method, x.headers, x.body, x.success_statuses, x.signing_secret, x.timeout_seconds,
          x.log_rate_in_bps;
