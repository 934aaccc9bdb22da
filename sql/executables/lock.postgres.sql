-- Before a schedule of it, and what is PENDING for that, is changed: as a deletion of it does, so that
-- neither waits for the other.
SELECT id FROM executables WHERE id = :id FOR NO KEY UPDATE;
