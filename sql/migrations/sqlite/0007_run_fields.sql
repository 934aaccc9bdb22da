-- How a job or call runs: time-outs, overlap, retries, pauses, metadata, and the request of a call. NULL: the
-- default.
ALTER TABLE executables ADD COLUMN timeout_seconds INTEGER
    CHECK (timeout_seconds BETWEEN 1 AND CASE kind WHEN 'job' THEN 604800 ELSE 1800 END);
ALTER TABLE executables ADD COLUMN concurrency_policy TEXT NOT NULL DEFAULT 'Always'
    CHECK (concurrency_policy IN ('Always', 'Forbid', 'Replace', 'Queue'));
-- The retry settings: the first three are set together or not at all.
ALTER TABLE executables ADD COLUMN max_retries INTEGER CHECK (max_retries BETWEEN 1 AND 20);
ALTER TABLE executables ADD COLUMN backoff_seconds INTEGER
    CHECK (backoff_seconds BETWEEN 1 AND 3600) CHECK ((backoff_seconds IS NULL) = (max_retries IS NULL));
ALTER TABLE executables ADD COLUMN max_backoff_seconds INTEGER
    CHECK (max_backoff_seconds BETWEEN 1 AND 86400) CHECK ((max_backoff_seconds IS NULL) = (max_retries IS NULL));
ALTER TABLE executables ADD COLUMN max_age_seconds INTEGER
    CHECK (max_age_seconds BETWEEN 1 AND 604800) CHECK (max_age_seconds IS NULL OR max_retries IS NOT NULL);
ALTER TABLE executables ADD COLUMN paused INTEGER NOT NULL DEFAULT 0 CHECK (paused IN (0, 1));
-- JSON objects of strings; NULL: none.
ALTER TABLE executables ADD COLUMN labels TEXT;
ALTER TABLE executables ADD COLUMN annotations TEXT;
ALTER TABLE executables ADD COLUMN expect_success_within_seconds INTEGER
    CHECK (expect_success_within_seconds BETWEEN 60 AND 31536000);

-- For calls only.
ALTER TABLE executables ADD COLUMN method TEXT
    CHECK (method IN ('POST', 'GET', 'PUT', 'PATCH', 'DELETE', 'HEAD')) CHECK (method IS NULL OR kind = 'call');
-- A JSON object of strings.
ALTER TABLE executables ADD COLUMN headers TEXT CHECK (headers IS NULL OR kind = 'call');
ALTER TABLE executables ADD COLUMN body TEXT
    CHECK (body IS NULL OR (kind = 'call' AND COALESCE(method, 'POST') NOT IN ('GET', 'HEAD')));
ALTER TABLE executables ADD COLUMN success_statuses TEXT CHECK (success_statuses IS NULL OR kind = 'call');
ALTER TABLE executables ADD COLUMN signing_secret TEXT CHECK (signing_secret IS NULL OR kind = 'call');
