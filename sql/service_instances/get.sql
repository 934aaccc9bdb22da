-- By its primary key.
SELECT id, service_id, plan_id, organization_guid, space_guid, parameters FROM service_instances
 WHERE id = :id;
