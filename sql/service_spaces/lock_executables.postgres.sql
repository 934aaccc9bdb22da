-- All jobs and calls of a space, by executables_by_space, before their schedules and executions are changed:
-- in the order in which a deletion of one does, so that neither waits for the other.
SELECT id FROM executables WHERE space_guid = :space_guid AND deleted_at IS NULL ORDER BY +id FOR NO KEY UPDATE;
