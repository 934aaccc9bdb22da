-- A mark, so that a million executions take no longer than none. No row: it was deleted already. The lock, which is stronger than
-- that of an UPDATE, waits for those who start something of it, and they for this.
UPDATE executables
   SET deleted_at = :now
 WHERE id = (SELECT id FROM executables WHERE id = :id AND deleted_at IS NULL FOR UPDATE) AND deleted_at IS NULL;
