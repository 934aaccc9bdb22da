-- Looks up the guid of an imported job or call: its kind, and whether it is marked as deleted.
SELECT kind, deleted_at IS NOT NULL AS is_deleted FROM executables WHERE guid = :guid;
