-- Processes that start under the same name at the same time take turns.
SELECT 1 FROM pg_advisory_xact_lock(hashtextextended(CAST(:name AS TEXT), 0));
