-- The lease of an earlier process with this name, by instances_by_name.
SELECT id FROM instances WHERE name = :name FOR UPDATE;
