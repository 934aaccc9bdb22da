-- Counts one more skipped execution, which gets no row of its own.
UPDATE executions SET more_skipped = more_skipped + 1 WHERE id = :id;
