-- Whether a space has one, by service_instances_by_space.
SELECT 1 FROM service_instances WHERE space_guid = :space_guid LIMIT 1;
