-- Any suspended space. The table has one row for each space that ever had an instance, so it is short.
SELECT space_guid FROM service_spaces WHERE is_suspended LIMIT 1;
