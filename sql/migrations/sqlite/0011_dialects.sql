-- The dialect of the expression. NULL: not recorded yet (the next start does that), or the schedule is
-- deleted.
ALTER TABLE schedules ADD COLUMN dialect TEXT CHECK (dialect IN ('classic', 'classic-quartz', 'ocf2'));
