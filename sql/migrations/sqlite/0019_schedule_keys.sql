-- The client's own key of a schedule, unique within its job or call; NULL: none.
ALTER TABLE schedules ADD COLUMN key TEXT;

CREATE UNIQUE INDEX schedules_by_key ON schedules (executable_id, key) WHERE key IS NOT NULL AND deleted_at IS NULL;
