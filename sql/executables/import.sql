-- One of another database, with its guid and its times. No row: its guid is here already, or its name is taken.
INSERT INTO executables (guid, kind, name, app_guid, space_guid, command, disk_in_mb, memory_in_mb, state, url, auth_header,
                         created_at, updated_at)
VALUES (:guid, :kind, :name, :app_guid, :space_guid, :command, :disk_in_mb, :memory_in_mb, :state, :url, :auth_header,
        :created_at, :updated_at)
    ON CONFLICT DO NOTHING;
