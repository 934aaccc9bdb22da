-- A suspended space of another database. No row: the space is known here, and stays as it is.
INSERT INTO service_spaces (space_guid, is_suspended) VALUES (:space_guid, TRUE)
    ON CONFLICT (space_guid) DO NOTHING;
