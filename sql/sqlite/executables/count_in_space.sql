-- How many there are in one space, and the last of them, by executables_by_space alone.
SELECT COUNT(*), COALESCE(MAX(id), 0)
  FROM executables
 WHERE space_guid = :space_guid AND kind = :kind AND deleted_at IS NULL;
