-- A space has its first instance. That it had one before changes nothing.
INSERT INTO service_spaces (space_guid, is_suspended) VALUES (:space_guid, FALSE) ON CONFLICT DO NOTHING;
