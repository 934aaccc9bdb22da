-- One whose rows are still to be removed, by executables_deleted; not one that another process is at.
SELECT id FROM executables WHERE deleted_at IS NOT NULL ORDER BY id LIMIT 1 FOR UPDATE SKIP LOCKED;
