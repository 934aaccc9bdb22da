-- A space that is suspended in another database. No row: what is known of it here counts.
INSERT INTO service_spaces (space_guid, is_suspended) VALUES (:space_guid, TRUE) ON CONFLICT DO NOTHING;
