-- The random key that signs dashboard sessions. No row: it has not been created yet.
SELECT value FROM dashboard_keys WHERE id = 1;
