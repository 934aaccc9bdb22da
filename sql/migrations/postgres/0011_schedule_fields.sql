-- Settings of a schedule beside its expression. NULL: the default.

-- The zone in which the expression is read; NULL: UTC, or the one that the expression names.
ALTER TABLE schedules ADD COLUMN timezone TEXT;
-- It fires from starts_at to ends_at, both included.
ALTER TABLE schedules ADD COLUMN starts_at BIGINT;
ALTER TABLE schedules ADD COLUMN ends_at BIGINT;
ALTER TABLE schedules ADD COLUMN jitter_seconds BIGINT NOT NULL DEFAULT 0 CHECK (jitter_seconds BETWEEN 0 AND 3600);
ALTER TABLE schedules ADD COLUMN misfire_policy TEXT CHECK (misfire_policy IN ('skip', 'once', 'all'));
ALTER TABLE schedules ADD COLUMN description TEXT;
-- Since when the schedule is known never to fire again.
ALTER TABLE schedules ADD COLUMN completed_at BIGINT;

-- The delay between the fire time and the dispatch time.
ALTER TABLE executions ADD COLUMN jitter_seconds BIGINT NOT NULL DEFAULT 0;
