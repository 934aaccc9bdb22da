-- The space of a job or call, by primary key. No row: it was deleted.
SELECT space_guid FROM executables WHERE id = :id AND deleted_at IS NULL;
