-- A binding from another database. No row: its id exists here, or its instance is missing.
INSERT INTO service_bindings (id, instance_id, service_id, plan_id, app_guid, parameters, api_endpoint,
                              created_at)
SELECT :id, id, :service_id, :plan_id, :app_guid, :parameters, :api_endpoint, :created_at
  FROM service_instances
 WHERE id = :instance_id
    ON CONFLICT (id) DO NOTHING;
