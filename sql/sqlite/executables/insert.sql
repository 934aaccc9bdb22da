-- A name that is taken breaks executables_by_name, which the caller reads as an answer, not as a fault.
INSERT INTO executables (guid, kind, name, app_guid, space_guid, command, disk_in_mb, memory_in_mb, state, url, auth_header,
                         created_at, updated_at)
VALUES (:guid, :kind, :name, :app_guid, :space_guid, :command, :disk_in_mb, :memory_in_mb, :state, :url, :auth_header,
        :now, :now);
