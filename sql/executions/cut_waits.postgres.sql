-- The database's clock was set back: no execution waits longer than is possible. Like executions/settle_waits
-- for SQLite, but those that wait for another one to end keep waiting. The time for attempts starts over: how
-- much of it is left, nobody knows. Safe for several processes at once.
-- Without an attempt nothing is in doubt: LEAST would ignore the NULL.
UPDATE executions
   SET dispatch_time = CASE WHEN attempts > 0 THEN CAST(:latest AS BIGINT)
                            WHEN attempt > 1 THEN CAST(:now AS BIGINT) + 1200000000 * COALESCE(
                                 (SELECT x.max_backoff_seconds FROM executables AS x
                                  WHERE x.id = executable_id), 0)
                            ELSE CAST(:now AS BIGINT) + 1000000000 * jitter_seconds END,
       doubt_until = CASE WHEN doubt_until > :latest THEN CAST(:latest AS BIGINT) ELSE doubt_until END,
       give_up_at = NULL
 WHERE dispatch_time > :now AND dispatch_time < 9223372036854775807
   AND dispatch_time > CASE WHEN attempts > 0 THEN CAST(:latest AS BIGINT)
                            WHEN attempt > 1 THEN CAST(:now AS BIGINT) + 1200000000 * COALESCE(
                                 (SELECT x.max_backoff_seconds FROM executables AS x
                                  WHERE x.id = executable_id), 0)
                            ELSE CAST(:now AS BIGINT) + 1000000000 * jitter_seconds END;
