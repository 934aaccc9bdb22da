-- What a client may change. No row: it was deleted meanwhile. The state is the engine's alone.
UPDATE executables
   SET name = :name, app_guid = :app_guid, command = :command, disk_in_mb = :disk_in_mb, memory_in_mb = :memory_in_mb,
       url = :url, auth_header = :auth_header, updated_at = :now
 WHERE id = :id AND deleted_at IS NULL;
