-- A binding of this instance.
DELETE FROM service_bindings WHERE id = :id AND instance_id = :instance_id;
