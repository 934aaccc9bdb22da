-- No row: the id exists already.
INSERT INTO service_bindings (id, instance_id, service_id, plan_id, app_guid, parameters, api_endpoint,
                              created_at)
VALUES (:id, :instance_id, :service_id, :plan_id, :app_guid, :parameters, :api_endpoint, :now)
    ON CONFLICT (id) DO NOTHING;
