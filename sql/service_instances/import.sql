-- One of another database, with its times. No row: one of that id is here already.
INSERT INTO service_instances (id, service_id, plan_id, organization_guid, space_guid, parameters, context, created_at,
                               updated_at)
VALUES (:id, :service_id, :plan_id, :organization_guid, :space_guid, :parameters, :context, :created_at, :updated_at)
    ON CONFLICT (id) DO NOTHING;
