-- Whether the Go service has applied the first migration of version 2.
SELECT COUNT(*) AS applied FROM gorp_migrations WHERE CAST(id AS TEXT) LIKE '1771720878%';
