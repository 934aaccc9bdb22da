-- By service_bindings_by_instance.
DELETE FROM service_bindings WHERE instance_id = :instance_id;
