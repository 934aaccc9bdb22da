-- How many there are in one space, which is counted already, and the last of them, by executables_by_space.
-- PostgreSQL counts in several shares, whose sum is the size.
SELECT COALESCE((SELECT CAST(SUM(size) AS BIGINT) FROM space_sizes WHERE kind = :kind AND space_guid = :space_guid), 0) AS total,
       COALESCE((SELECT MAX(id) FROM executables WHERE space_guid = :space_guid AND kind = :kind AND deleted_at IS NULL), 0)
           AS last_id;
