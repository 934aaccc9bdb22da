-- A service instance from another database, with its times. No row: its id exists here.
INSERT INTO service_instances (id, service_id, plan_id, organization_guid, space_guid, parameters, context,
                               created_at,
                               updated_at)
VALUES (:id, :service_id, :plan_id, :organization_guid, :space_guid, :parameters, :context, :created_at,
        :updated_at)
    ON CONFLICT (id) DO NOTHING;
