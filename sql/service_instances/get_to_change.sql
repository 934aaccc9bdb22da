-- By its primary key, to change or delete it in the same transaction.
SELECT id, service_id, plan_id, organization_guid, space_guid, parameters
  FROM service_instances
 WHERE id = :id
--pg FOR UPDATE
;
