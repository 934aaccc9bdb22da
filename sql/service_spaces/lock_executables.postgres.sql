-- All jobs and calls of a space, by executables_by_space, before their schedules and executions are changed.
-- A deletion locks in the same order, so the two cannot deadlock.
SELECT id FROM executables WHERE space_guid = :space_guid AND deleted_at IS NULL
 ORDER BY +id FOR NO KEY UPDATE;
