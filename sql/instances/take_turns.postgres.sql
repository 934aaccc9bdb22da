-- Serialises processes that start under the same INSTANCE_ID at the same time.
SELECT 1 FROM pg_advisory_xact_lock(hashtextextended(CAST(:name AS TEXT), 0));
