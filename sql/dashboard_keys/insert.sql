-- Of two processes that begin at once, one makes the key.
INSERT INTO dashboard_keys (id, value) VALUES (1, :value) ON CONFLICT (id) DO NOTHING;
