-- By its primary key, by whoever is about to change it.
SELECT id, service_id, plan_id, organization_guid, space_guid, parameters FROM service_instances WHERE id = :id;
