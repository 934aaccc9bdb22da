-- Taken before a schedule and its PENDING executions are changed. A deletion locks in the same order, so the
-- two cannot deadlock.
SELECT id FROM executables WHERE id = :id FOR NO KEY UPDATE;
