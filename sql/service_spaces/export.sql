-- A batch of the suspended spaces, by key, for another database.
SELECT space_guid FROM service_spaces WHERE space_guid > :after AND is_suspended ORDER BY space_guid
 LIMIT :limit;
