-- A mark, by primary key, so that deleting takes no longer with a million executions than with none. No row:
-- it was changed or deleted meanwhile. The lock, stronger than that of the UPDATE, waits for transactions
-- that start an execution of it, and they wait for this one.
UPDATE executables
   SET deleted_at = :now
 WHERE id = (SELECT id FROM executables WHERE id = :id AND updated_at = :seen_updated_at
               AND (state IS NULL OR state = :seen_state) AND deleted_at IS NULL
--pg FOR UPDATE
            ) AND deleted_at IS NULL;
