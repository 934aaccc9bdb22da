-- The lease of the process that had this name before, by instances_by_name.
SELECT id FROM instances WHERE name = :name FOR UPDATE;
