-- The random key of the sessions; no row: there is none yet.
SELECT value FROM dashboard_keys WHERE id = 1;
