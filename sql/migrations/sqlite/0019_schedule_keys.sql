-- What a client calls a schedule by, among those of its job or call; NULL: by its guid alone.
ALTER TABLE schedules ADD COLUMN key TEXT;

CREATE UNIQUE INDEX schedules_by_key ON schedules (executable_id, key) WHERE key IS NOT NULL AND deleted_at IS NULL;
