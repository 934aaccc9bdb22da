-- By its primary key, by whoever makes or deletes an instance in it.
SELECT is_suspended FROM service_spaces WHERE space_guid = :space_guid;
