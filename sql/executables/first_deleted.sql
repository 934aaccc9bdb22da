-- A deleted job or call whose rows remain to be purged, by executables_deleted. PostgreSQL skips one that
-- another process is purging.
SELECT id
  FROM executables
 WHERE deleted_at IS NOT NULL
 ORDER BY id
 LIMIT 1
--pg FOR UPDATE SKIP LOCKED
;
