-- The last of the rows of a deleted one. The references to it keep it from going first.
DELETE FROM executables WHERE id = :id AND deleted_at IS NOT NULL;
