-- How many there are, and the last of them, by executables_by_kind alone.
SELECT COUNT(*), COALESCE(MAX(id), 0)
  FROM executables
 WHERE kind = :kind AND deleted_at IS NULL;
