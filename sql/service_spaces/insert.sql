-- The space gets its first instance. No row: it had one before.
INSERT INTO service_spaces (space_guid, is_suspended) VALUES (:space_guid, FALSE)
    ON CONFLICT (space_guid) DO NOTHING;
