-- The ids of the jobs or calls of all spaces, at most :limit, by executables_by_kind.
SELECT id FROM executables WHERE deleted_at IS NULL AND kind = :kind LIMIT :limit;
