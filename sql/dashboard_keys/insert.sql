-- If two processes start at once, only one creates the key.
INSERT INTO dashboard_keys (id, value) VALUES (1, :value) ON CONFLICT (id) DO NOTHING;
