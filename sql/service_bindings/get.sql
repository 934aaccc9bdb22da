-- By its primary key.
SELECT id, instance_id, service_id, plan_id, app_guid, parameters, api_endpoint FROM service_bindings
 WHERE id = :id;
