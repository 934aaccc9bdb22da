-- How the expression is read. NULL: the schedule was made before this was recorded, or is gone; the next start records it.
ALTER TABLE schedules ADD COLUMN dialect TEXT CHECK (dialect IN ('classic', 'classic-quartz', 'ocf2'));
