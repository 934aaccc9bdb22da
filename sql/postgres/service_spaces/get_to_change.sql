-- By its primary key, by whoever makes or deletes an instance in it, one after the other.
SELECT is_suspended FROM service_spaces WHERE space_guid = :space_guid FOR UPDATE;
