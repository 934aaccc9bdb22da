-- The number of jobs or calls in a space, from the count kept for it, and the last id, by
-- executables_by_space. PostgreSQL keeps each count in several rows, to be added up.
SELECT COALESCE((SELECT CAST(SUM(size) AS BIGINT) FROM space_sizes WHERE kind = :kind
                 AND space_guid = :space_guid), 0) AS total,
       COALESCE((SELECT MAX(id) FROM executables WHERE space_guid = :space_guid AND kind = :kind
                 AND deleted_at IS NULL), 0)
           AS last_id;
