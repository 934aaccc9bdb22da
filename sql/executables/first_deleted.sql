-- An executable whose rows are still to be removed, by executables_deleted. PostgreSQL skips one that another
-- process is removing.
SELECT id
  FROM executables
 WHERE deleted_at IS NOT NULL
 ORDER BY id
 LIMIT 1
--pg FOR UPDATE SKIP LOCKED
;
