-- Whether a space has a service instance, by service_instances_by_space.
SELECT 1 FROM service_instances WHERE space_guid = :space_guid LIMIT 1;
