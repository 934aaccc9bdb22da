-- Transactions that add something to the same space take turns, so that each counts what the other has added.
SELECT 1 FROM pg_advisory_xact_lock(hashtextextended('space ' || CAST(:space_guid AS TEXT), 0));
