-- The task was found, or certainly does not exist.
DELETE FROM strays WHERE name = :name;
