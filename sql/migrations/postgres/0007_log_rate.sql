-- The log rate limit of a job's task, in bytes a second: 0 is not given, -1 unlimited.
ALTER TABLE executables ADD COLUMN log_rate_in_bps BIGINT NOT NULL DEFAULT 0
    CHECK (log_rate_in_bps BETWEEN -1 AND 2147483647) CHECK (log_rate_in_bps = 0 OR kind = 'job');
