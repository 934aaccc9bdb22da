-- Only marks the row, by primary key, so that a deletion takes as long with a million executions as with
-- none. No row: it was changed or deleted meanwhile. The lock is stronger than that of the UPDATE: it waits
-- for transactions that start an execution, and they wait for it.
UPDATE executables
   SET deleted_at = :now
 WHERE id = (SELECT id FROM executables WHERE id = :id AND updated_at = :seen_updated_at
               AND (state IS NULL OR state = :seen_state) AND deleted_at IS NULL
--pg FOR UPDATE
            ) AND deleted_at IS NULL;
