-- Writes what an update may change; NULL keeps the value. No row: no such instance.
UPDATE service_instances
   SET parameters = COALESCE(:parameters, parameters), context = COALESCE(:context, context),
       updated_at = :now
 WHERE id = :id;
