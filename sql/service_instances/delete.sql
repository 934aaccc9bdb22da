-- Its bindings have been deleted before.
DELETE FROM service_instances WHERE id = :id;
