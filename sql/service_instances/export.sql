-- A batch of the instances, by key, for another database.
SELECT id, service_id, plan_id, organization_guid, space_guid, parameters, context, created_at, updated_at
  FROM service_instances
 WHERE id > :after
 ORDER BY id
 LIMIT :limit;
