-- The number of notifications of a space, by notifications_by_name.
SELECT COUNT(*) AS total FROM notifications WHERE space_guid = :space_guid;
