-- Schedules that were made before dialects were recorded are read as they were until now.
UPDATE schedules SET dialect = :dialect WHERE dialect IS NULL;
