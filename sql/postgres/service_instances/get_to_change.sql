-- By its primary key, by whoever is about to change it, one after the other.
SELECT id, service_id, plan_id, organization_guid, space_guid, parameters FROM service_instances WHERE id = :id
   FOR UPDATE;
