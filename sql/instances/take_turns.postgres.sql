-- Processes that begin under one name at the same time do so one after the other.
SELECT 1 FROM pg_advisory_xact_lock(hashtextextended(CAST(:name AS TEXT), 0));
