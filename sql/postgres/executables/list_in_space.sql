-- A page of one space, oldest first, by executables_by_space.
SELECT x.id, x.guid, x.kind, x.name, x.app_guid, x.space_guid, x.command, x.disk_in_mb, x.memory_in_mb, x.state, x.url,
       x.auth_header, x.created_at, x.updated_at
  FROM executables AS x
 WHERE x.space_guid = :space_guid AND x.kind = :kind AND x.deleted_at IS NULL AND x.id > :after_id AND x.id <= :last_id
 ORDER BY x.id
 LIMIT :limit OFFSET :offset;
