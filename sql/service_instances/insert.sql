-- No row: the id exists already.
INSERT INTO service_instances (id, service_id, plan_id, organization_guid, space_guid, parameters, context,
                               created_at,
                               updated_at)
VALUES (:id, :service_id, :plan_id, :organization_guid, :space_guid, :parameters, :context, :now, :now)
    ON CONFLICT (id) DO NOTHING;
