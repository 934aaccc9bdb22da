-- A walk over all executables by key.
SELECT id FROM executables WHERE id > :after_id ORDER BY id LIMIT 1;
