-- A page of one space, oldest first, by executables_by_space. Of long texts no more than are
-- enough for one time (PART_BYTES, twice, for a text may be longer here than it is outside), and one row at least: all that is asked for
-- is sent, however few rows are wanted of it.
SELECT id, guid, kind, name, app_guid, space_guid, command, disk_in_mb, memory_in_mb, state, url, auth_header, created_at, updated_at
  FROM (SELECT page.*, SUM(octet_length(COALESCE(command, url)) + COALESCE(octet_length(auth_header), 0))
                           OVER (ORDER BY id ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS bytes_before
          FROM (SELECT x.id, x.guid, x.kind, x.name, x.app_guid, x.space_guid, x.command, x.disk_in_mb, x.memory_in_mb, x.state,
                       x.url, x.auth_header, x.created_at, x.updated_at
                  FROM executables AS x
                 WHERE x.space_guid = :space_guid AND x.kind = :kind AND x.deleted_at IS NULL AND x.id > :after_id AND x.id <= :last_id
                 ORDER BY x.id
                 LIMIT :limit OFFSET :offset) AS page) AS measured
 WHERE bytes_before IS NULL OR bytes_before < 65536
 ORDER BY id;
