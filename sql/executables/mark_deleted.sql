-- A mark, by primary key, so that deleting takes no longer with a million executions than with none. No row: it was deleted already.
-- The lock, stronger than that of the UPDATE, waits for transactions that start an execution of it, and they wait for this one.
UPDATE executables
   SET deleted_at = :now
 WHERE id = (SELECT id FROM executables WHERE id = :id AND deleted_at IS NULL
--pg FOR UPDATE
            ) AND deleted_at IS NULL;
