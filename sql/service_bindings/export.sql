-- A batch of the bindings, by key, for another database.
SELECT id, instance_id, service_id, plan_id, app_guid, parameters, api_endpoint, created_at
  FROM service_bindings
 WHERE id > :after
 ORDER BY id
 LIMIT :limit;
