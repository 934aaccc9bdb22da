-- One more was skipped, which gets no row of its own.
UPDATE executions SET more_skipped = more_skipped + 1 WHERE id = :id;
