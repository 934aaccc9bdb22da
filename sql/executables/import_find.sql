-- Whether a guid of another database is here, of what kind, and whether it is marked as deleted.
SELECT kind, deleted_at IS NOT NULL AS is_deleted FROM executables WHERE guid = :guid;
