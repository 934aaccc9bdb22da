-- Two that add something to one space take turns, so that both count what the other has added.
SELECT 1 FROM pg_advisory_xact_lock(hashtextextended('space ' || CAST(:space_guid AS TEXT), 0));
