-- Any of them: there are as many rows as spaces that ever had an instance.
SELECT space_guid FROM service_spaces WHERE is_suspended LIMIT 1;
