-- The number of jobs or calls, from the counts kept for each space, and the last id, by executables_by_kind.
SELECT COALESCE((SELECT CAST(SUM(size) AS BIGINT) FROM space_sizes WHERE kind = :kind), 0) AS total,
       COALESCE((SELECT MAX(id) FROM executables WHERE kind = :kind AND deleted_at IS NULL), 0) AS last_id;
