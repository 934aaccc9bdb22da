-- Its bindings have gone before.
DELETE FROM service_instances WHERE id = :id;
