-- A binding of that instance.
DELETE FROM service_bindings WHERE id = :id AND instance_id = :instance_id;
