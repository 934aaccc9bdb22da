-- Deletes the row itself, last. Foreign keys keep it from going before the rows that refer to it.
DELETE FROM executables WHERE id = :id AND deleted_at IS NOT NULL;
