-- Schedules from before dialects were recorded keep the dialect that applied to them so far.
UPDATE schedules SET dialect = :dialect WHERE dialect IS NULL;
