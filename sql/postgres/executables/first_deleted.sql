-- One whose rows are still to be removed, by executables_deleted.
SELECT id FROM executables WHERE deleted_at IS NOT NULL ORDER BY id LIMIT 1;
