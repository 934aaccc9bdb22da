-- One of another database. No row: one of that id is here already, or its instance is not.
INSERT INTO service_bindings (id, instance_id, service_id, plan_id, app_guid, parameters, api_endpoint, created_at)
SELECT :id, id, :service_id, :plan_id, :app_guid, :parameters, :api_endpoint, :created_at
  FROM service_instances
 WHERE id = :instance_id
    ON CONFLICT (id) DO NOTHING;
