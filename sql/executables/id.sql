-- The id of a job or call, by the unique index of guid.
SELECT id FROM executables WHERE guid = :guid AND (deleted_at IS NULL) IS TRUE;
