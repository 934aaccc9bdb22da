-- Whether the Go service has applied the migration that version 2 begins with.
SELECT COUNT(*) AS applied FROM gorp_migrations WHERE CAST(id AS TEXT) LIKE '1771720878%';
