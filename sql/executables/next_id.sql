-- Walks over all jobs and calls by key.
SELECT id FROM executables WHERE id > :after_id ORDER BY id LIMIT 1;
