-- By the unique index of guid: IS TRUE keeps the planner from choosing another one. A job is not found among the calls, nor a call
-- among the jobs.
SELECT x.id, x.guid, x.kind, x.name, x.app_guid, x.space_guid, x.command, x.disk_in_mb, x.memory_in_mb, x.state, x.url,
       x.auth_header, x.created_at, x.updated_at
  FROM executables AS x
 WHERE x.guid = :guid AND (x.kind = :kind) IS TRUE AND x.deleted_at IS NULL;
