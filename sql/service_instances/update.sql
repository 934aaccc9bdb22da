-- What an update may change; NULL leaves it as it is. No row: it is not there.
UPDATE service_instances
   SET parameters = COALESCE(:parameters, parameters), context = COALESCE(:context, context), updated_at = :now
 WHERE id = :id;
